// Which chapters a reader has finished, kept in this browser and nowhere else; and the sidebar at this page's entry.
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

  const start = () => {
    show();
    showPlace();
  };
  if (document.readyState === "complete") start();
  else addEventListener("load", start); // after the theme has put the sidebar where it was
})();
