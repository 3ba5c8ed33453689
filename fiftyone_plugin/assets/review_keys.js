// Keys for the review panel: FiftyOne's Python panels have none, but the App loads a plugin's script
// and draws its components inside a Python panel. The panel names the method for each key.
(() => {
  const { useEffect, useRef, createElement } = window.React;
  const HELP = "Keys: A accept · R reject · E edit · N next · B back · Esc leave the text";
  const TEXT = "textarea:not([aria-hidden])";

  function ReviewKeys({ schema }) {
    const own = useRef(null);
    const busy = useRef(false);
    const trigger = window.__foo__.useTriggerPanelEvent();
    const methods = schema.view.methods;

    useEffect(() => {
      // The keys belong to the panel, so that the App's own keys work everywhere else.
      const panel = own.current.closest("[data-cy^=panel-content]") ?? own.current.parentElement;
      panel.tabIndex = -1;
      panel.style.outline = "none";

      const onClick = (event) => {
        if (!event.target.closest("input, textarea, [role=combobox], [role=listbox]")) {
          panel.focus({ preventScroll: true });
        }
      };
      const onKey = (event) => {
        const typing = event.target.closest("input:not([type=checkbox]), textarea, [role=combobox]");
        const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
        if (event.ctrlKey || event.metaKey || event.altKey) return;
        if (typing) {
          if (key !== "Escape") return;
          panel.focus({ preventScroll: true });
        } else if (key === "e") {
          const text = panel.querySelector(TEXT);
          text?.focus();
          text?.select();
        } else if (key in methods) {
          // A press while the last one is at work would count for the same region.
          if (!busy.current && !event.repeat) {
            busy.current = true;
            trigger(methods[key], {}, false, () => { busy.current = false; });
          }
        } else return;
        event.preventDefault();
        event.stopPropagation();
      };
      panel.addEventListener("click", onClick);
      panel.addEventListener("keydown", onKey);
      // The next region is drawn anew, and what had the focus may be gone.
      if (document.activeElement === document.body) panel.focus({ preventScroll: true });
      return () => {
        panel.removeEventListener("click", onClick);
        panel.removeEventListener("keydown", onKey);
      };
    });

    return createElement("small", { ref: own, style: { opacity: 0.7 } }, HELP);
  }

  window.__fop__.registerComponent({
    name: "PamReviewKeys",
    label: "PAM: keys of the review",
    component: ReviewKeys,
    type: window.__fop__.PluginComponentType.Component,
  });
})();
