// Runs Sphinx's own search over the built pages: node search.mjs SITE QUERY ... prints the first results of each as JSON.
import { readFileSync } from "node:fs"
import vm from "node:vm"

const [site, ...queries] = process.argv.slice(2)
const element = { lastChild: null, querySelector: () => null }
const context = vm.createContext({
  console,
  document: { getElementById: () => element, addEventListener() {}, querySelector: () => null },
  DOCUMENTATION_OPTIONS: {},
  SPHINX_HIGHLIGHT_ENABLED: false,
  localStorage: { getItem: () => null, setItem() {}, removeItem() {} },
  _ready() {},
})
for (const name of ["language_data.js", "searchtools.js", "searchindex.js"]) {
  const path = name === "searchindex.js" ? `${site}/${name}` : `${site}/_static/${name}`
  // searchtools.js declares Search as a constant, which other scripts of the context see; the page's scorer comes first.
  vm.runInContext(readFileSync(path, "utf8"), context, { filename: name })
}
const results = vm.runInContext(
  `(query) => {
    const [text, ...terms] = Search._parseQuery(query)
    return Search._performSearch(text, ...terms).map(([page, title]) => [page, title])
  }`,
  context,
)
console.log(JSON.stringify(queries.map((query) => results(query).slice(0, 5))))
