// The last script of a page: mounts its figures as soon as the text is there.
"use strict"

if (document.readyState === "loading") addEventListener("DOMContentLoaded", () => VLM.figures.mountAll())
else VLM.figures.mountAll()
