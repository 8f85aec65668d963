"""For each rule, the case that closes its holes: what a grader needs so that it fails such a mutant."""

_OTHER_VALUES = (
    "cases whose numbers are all different, unsorted and not symmetric, so that every step changes the result"
)
_BORDER = "a case right at the border, with exact numbers, and one on each side of it"
_OTHER_SIZES = "cases in which no two sizes are equal, and sizes that differ from case to case"
_CONSTANT = "at least two values of the argument, neither of them that of the shipped model"
_DTYPE = "a case in bfloat16 and one in float64, with the dtype of the result compared"
_TEXT = "texts with this character missing, doubled, and in another place"
_LOOP = "a case with one item, and one in which only the first or the last item matters"

CLOSED_BY = {
    "operator swapped": _OTHER_VALUES,
    "operand dropped": "a case in which the dropped operand is neither 0 nor 1, nor too small to be seen",
    "operands exchanged": _OTHER_SIZES,
    "strict for loose comparison": _BORDER,
    "comparison turned around": _BORDER,
    "and for or": "a case in which one of the two conditions is true and the other is false, and the reverse",
    "clause removed": "a case in which only this clause decides",
    "negation dropped": "a case in which the condition is true, and one in which it is false",
    "condition negated": "a case for each branch",
    "condition always or never true": "a case for each branch",
    "condition of a list removed": "a case with an item that the condition leaves out",
    "eps added": "a case with a denominator as small as the eps, compared relative to its size",
    "clamp added": "a case with a denominator below the bound",
    "equality by tolerance": "a case with a number that is nearly equal, but not equal",
    "off by one": _BORDER,
    "another number": _OTHER_VALUES,
    "true for false": _OTHER_SIZES,
    "the last for the first, an axis from the other end": "cases of several numbers of dimensions, no two sizes equal",
    "border of a slice moved": "a case in which the first and the last item of the slice change the result",
    "range moved": "a case in which the first and the last index change the result",
    "number of an expression off by one": _BORDER,
    "constant for what the cases never vary": "a second value of it in the cases",
    "constant of the shipped model for an argument": _CONSTANT,
    "constant for a special value": "scores of 20,000 and more on both sides of zero, in every dtype that is allowed",
    "call dropped": "a case in which the call changes its argument",
    "cast dropped": _DTYPE,
    "keyword argument dropped": "a case in which the argument has another value than its default",
    "argument dropped": "a case in which the argument has another value than its default; rows that differ",
    "arguments exchanged": _OTHER_SIZES,
    "a related function": _OTHER_VALUES,
    "in place": "a comparison of the arguments afterwards, also of tensors inside lists",
    "the last of several that are largest": "a tie, if the docstring says what happens then",
    "cast added": _DTYPE,
    "gradient cut": "a call without torch.no_grad, and a comparison of the gradients of arguments and weights",
    "numbers taken out of a tensor": "a case on the meta device, and a comparison of gradients",
    "the first for all": "a batch whose rows differ in this value, and heads that differ",
    "special numbers replaced": "a case with numbers beyond 10,000, or with infinity",
    "masked after the softmax": "a hidden score that is 200 above all visible ones",
    "a tensor made on the CPU": "a case on the meta device, or a call under `with torch.device('meta')`",
    "an argument changed in place": "a comparison of the arguments afterwards",
    "a copy returned": "a count of the allocated bytes, if the docstring asks for a view",
    "axes of length 1 dropped": "a case in which a size is 1",
    "float32 alone": _DTYPE,
    "statement removed": "a case in which the statement has an effect",
    "else removed": "a case for each branch",
    "statements exchanged": "a case in which the first of the statements changes what the second does",
    "state changed before a refusal": "after the error, a call that is allowed, compared with the right answer",
    "another error": "a comparison of the type of the error",
    "loop left or gone on with": "a case in which something comes after the item at which the loop ends",
    "loop over a part": _LOOP,
    "default of an argument changed": "a call without the argument",
    "a value kept for the next time": "a second call of the same submission, and two instances side by side",
    "allocation moved to the first use": "a count of the bytes that the constructor allocates",
    "state shared by all instances": "two instances with the same arguments side by side",
    "a parameter that is not trained": "a comparison of the gradients of all weights",
    "two layers are one": "a count of the weights with memory of their own",
    "another method of strings": _TEXT,
    "a looser or a tighter pattern": _TEXT,
    "another text": _TEXT,
    "an item of a list dropped": "a case in which the item has an effect",
}
