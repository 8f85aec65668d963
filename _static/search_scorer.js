// What Sphinx's search ranks first: a chapter before the pages that only list terms, papers and addresses.
var Scorer = {
  score: ([docname, title, anchor, description, score]) =>
    /\/(ch\d\d_\w+|bugs_in_the_wild)$/.test(docname) ? score + 20 + (title.includes(" > ") ? 0 : 2) : score,
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
