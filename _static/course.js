// Which chapters a reader has finished, kept in this browser and nowhere else; and the sidebar at this page's entry.
// Light or dark from the first moment on: until the theme's own script runs, "auto" would show both logos.
if (!["light", "dark"].includes(document.documentElement.dataset.theme)) {
  document.documentElement.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

(() => {
  const KEY = "finished-chapters";

  // A browser may forbid storage. Then the marks last as long as the page.
  let kept = [];
  const read = () => {
    try {
      kept = JSON.parse(localStorage.getItem(KEY)) ?? [];
    } catch {}
    return new Set(Array.isArray(kept) ? kept : []);
  };
  const write = (finished) => {
    kept = [...finished];
    try {
      localStorage.setItem(KEY, JSON.stringify(kept));
    } catch {}
  };

  const nameOf = (link) => new URL(link.href).pathname.split("/").pop().replace(/\.html$/, "");

  const show = () => {
    const finished = read();
    for (const link of document.querySelectorAll(".bd-sidebar-primary .toctree-l1 > a, .model-map li li > a")) {
      const isFinished = finished.has(nameOf(link));
      link.classList.toggle("finished", isFinished);
      link.querySelector(".finished-word")?.remove();
      if (isFinished) {
        link.insertAdjacentHTML("beforeend", '<span class="finished-word visually-hidden"> (finished)</span>');
      }
    }
    for (const box of document.querySelectorAll("[data-chapter]")) {
      box.checked = finished.has(box.dataset.chapter);
    }
  };

  document.addEventListener("change", (event) => {
    const chapter = event.target.dataset?.chapter;
    if (!chapter) return;
    const finished = read();
    if (event.target.checked) finished.add(chapter);
    else finished.delete(chapter);
    write(finished);
    show();
  });
  addEventListener("storage", show); // marked in another tab

  // The sidebar keeps its place from page to page, so after many of them this page's entry may be out of sight.
  const showPlace = () => {
    const sidebar = document.querySelector(".bd-sidebar-primary");
    const entry = sidebar?.querySelector(".toctree-l1.current > a");
    if (!entry) return;
    const [outer, inner] = [sidebar.getBoundingClientRect(), entry.getBoundingClientRect()];
    const isVisible = inner.top >= outer.top + 60 && inner.bottom <= outer.bottom - 60;
    if (!isVisible) sidebar.scrollTop += inner.top - outer.top - outer.height / 2;
  };

  // Sphinx's search looks for stems ("rotari") in all that stands on a page. Ours: beginnings of words, in the text.
  const mendSearch = () => {
    if (typeof Search === "undefined") return;
    const notText = ".model-map, .chapter-facts, .chapter-finished, .headerlink, nav, script, style";
    Search.htmlToText = (html, anchor) => {
      const page = new DOMParser().parseFromString(html, "text/html");
      const article = page.querySelector("article") ?? page.body;
      for (const element of article.querySelectorAll(notText)) element.remove();
      for (const element of article.querySelectorAll("dt, p, li, h1, h2, h3")) element.append(" ");
      return ((anchor && article.querySelector(anchor)) || article).textContent;
    };
    const summarize = Search.makeSearchSummary;
    Search.makeSearchSummary = (html, words, anchor) => {
      const text = Search.htmlToText(html, anchor).toLowerCase();
      const beginnings = [...words].map((word) => {
        let beginning = word.toLowerCase();
        while (beginning.length > 3 && !text.includes(beginning)) beginning = beginning.slice(0, -1);
        return beginning;
      });
      return beginnings.some((word) => text.includes(word)) ? summarize(html, beginnings, anchor) : null;
    };
  };
  document.addEventListener("DOMContentLoaded", mendSearch);

  const start = () => {
    show();
    showPlace();
  };
  if (document.readyState === "complete") start();
  else addEventListener("load", start); // after the theme has put the sidebar where it was
})();
