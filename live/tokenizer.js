// Byte-pair encoding as in tokenizer.json: added tokens whole, spaces as "▁", merges by their rank, and bytes for
// characters that are not in the vocabulary.
VLM.part("tokenizer", () => {
  const SPACE = "\u2581" // ▁

  class Tokenizer {
    // tokens: by id; merges: [left, right] by rank; added: tokens that are never split; special: ids that decode to ""
    constructor({ tokens, merges, added, special }) {
      this.tokens = tokens
      this.ids = new Map(tokens.map((token, id) => [token, id]))
      this.ranks = new Map(merges.map(([left, right], rank) => [`${left} ${right}`, rank]))
      this.special = new Set(special)
      this.bytes = new Map(Array.from({ length: 256 }, (_, byte) => [this.ids.get(byteToken(byte)), byte]))
      const alternatives = [...added].sort((a, b) => b.length - a.length).map(escapeForRegExp)
      this.added = new RegExp(`(${alternatives.join("|")})`)
    }

    // Text -> ids. No <bos>, no image tokens.
    encode(text) {
      if (/\p{Surrogate}/u.test(text)) throw new Error("The text has half of a character in it. Type it again.")
      // split puts what the parentheses match at the odd indices.
      return text.split(this.added).flatMap((part, i) => (i % 2 ? [this.ids.get(part)] : this.encodePlain(part)))
    }

    encodePlain(text) {
      const pieces = this.spell(text)
      while (this.mergeOnce(pieces));
      return pieces.map((piece) => this.ids.get(piece))
    }

    // Characters, and bytes for those that are not in the vocabulary
    spell(text) {
      return Array.from(text.replaceAll(" ", SPACE)).flatMap((character) => {
        return this.ids.has(character) ? [character] : Array.from(new TextEncoder().encode(character), byteToken)
      })
    }

    // Joins the two neighbors with the lowest rank, and says whether there were any.
    mergeOnce(pieces) {
      const ranks = pieces.slice(1).map((piece, i) => this.ranks.get(`${pieces[i]} ${piece}`) ?? Infinity)
      const best = ranks.reduce((least, rank) => Math.min(least, rank), Infinity)
      if (best === Infinity) return false
      const at = ranks.indexOf(best)
      pieces.splice(at, 2, pieces[at] + pieces[at + 1])
      return true
    }

    // The pieces of a text after each merge: first characters and bytes, at last tokens.
    mergeSteps(text) {
      const parts = text.split(this.added).map((part, i) => (i % 2 ? [part] : this.spell(part)))
      const steps = [parts.flat()]
      for (const pieces of parts) {
        while (this.mergeOnce(pieces)) steps.push(parts.flat())
      }
      return steps
    }

    // Ids -> text, without special tokens. Bytes in a row become characters, or each a "�" if they are not UTF-8.
    decode(ids) {
      let text = ""
      let bytes = []
      const flush = () => {
        text += decodeBytes(bytes)
        bytes = []
      }
      for (const id of ids) {
        if (this.special.has(id)) continue
        if (this.bytes.has(id)) {
          bytes.push(this.bytes.get(id))
          continue
        }
        flush()
        text += this.tokens[id].replaceAll(SPACE, " ")
      }
      flush()
      return text
    }

    // One token as it is shown alone: " cat", "<loc0100>", "<0xC3>", "<eos>".
    show(id) {
      return this.tokens[id].replaceAll(SPACE, " ")
    }
  }

  function byteToken(byte) {
    return `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`
  }

  function decodeBytes(bytes) {
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(new Uint8Array(bytes))
    } catch {
      return "\ufffd".repeat(bytes.length)
    }
  }

  function escapeForRegExp(text) {
    return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")
  }

  return { Tokenizer }
})
