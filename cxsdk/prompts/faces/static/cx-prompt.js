// <cx-prompt>: makes the form inside it answer in place. Without this file the form works too.
const headers = { "X-Requested-With": "cx-prompt" };
let policy = { createHTML: (html) => html };
try {
  policy = globalThis.trustedTypes?.createPolicy("cx-prompt", policy) ?? policy;
} catch {
  policy = null; // this page allows no such policy: the form is posted as without JavaScript
}

const fits = ({ op, value }, given) => {
  if (!given?.length) return false;
  if (op === "answered") return true;
  if (op === "at_most") return +given[0] <= value;
  if (op === "at_least") return +given[0] >= value;
  return given.some((each) => value.map(String).includes(each)) === (op === "in");
};

class CxPrompt extends HTMLElement {
  #done = {};
  #watcher;

  connectedCallback() {
    if (this.#watcher) return this.#watch();
    for (const type of ["submit", "input"]) this.addEventListener(type, this);
    // Of a form that is taller than the window, half the window is enough.
    this.#watcher = new IntersectionObserver(
      (seen) => {
        const { intersectionRatio: part, intersectionRect: rect, rootBounds: view } = seen.at(-1);
        if (part >= 0.5 || (view && rect.height >= view.height / 2)) this.#say("shown");
      },
      { threshold: [0.05, 0.1, 0.2, 0.3, 0.4, 0.5] },
    );
    this.#watch();
  }

  disconnectedCallback() {
    this.#watcher.disconnect();
  }

  handleEvent(event) {
    if (event.type === "submit") return this.#submit(event);
    this.#branch();
    this.#say("started");
  }

  // For whoever puts it into something that closes: close, escape, timeout or navigated.
  dismiss(reason = "close") {
    this.#say("dismissed", reason);
    this.hidden = true;
  }

  #watch() {
    this.#watcher.observe(this);
    this.#branch();
  }

  #tell(name, reason) {
    this.dispatchEvent(new CustomEvent(`cx:${name}`, { bubbles: true, detail: { reason } }));
  }

  #say(state, reason) {
    if (this.#done[state] || !this.querySelector("form.cx-body")) return;
    this.#done[state] = true;
    const body = new URLSearchParams(reason ? { state, reason } : { state });
    navigator.sendBeacon(this.dataset.cxState, body);
    this.#tell(state, reason);
  }

  #branch() {
    const form = this.querySelector("form");
    if (!form) return;
    const given = new FormData(form);
    for (const part of form.querySelectorAll("[data-cx-if]")) {
      const rule = JSON.parse(part.dataset.cxIf);
      part.hidden = !fits(rule, given.getAll(rule.question).filter((each) => each.trim()));
      if (part.hidden) given.delete(part.querySelector("[name]").name);
    }
  }

  async #submit(event) {
    // Names of questions become properties of a form, so it is asked for none in lower case.
    const form = event.target;
    const button = event.submitter ?? form.querySelector("button");
    if (!policy) return;
    event.preventDefault();
    if (form.ariaBusy) return;
    form.ariaBusy = "true";
    const status = this.querySelector("[role=status]");
    status.textContent = this.dataset.cxSending;
    const body = new URLSearchParams(new FormData(form));
    body.set(button.name, button.value);
    try {
      const url = form.getAttribute("action");
      const answer = await fetch(url, { method: "POST", body, headers, credentials: "omit" });
      const html = policy.createHTML(await answer.text());
      const page = new DOMParser().parseFromString(html, "text/html");
      const next = page.querySelector(".cx-body");
      const kind = next.getAttribute("data-cx");
      if (kind === "unavailable") throw kind;
      const focused = this.contains(document.activeElement);
      form.replaceWith(next);
      status.textContent = "";
      this.#branch();
      if (focused) (next.querySelector("[autofocus]") ?? next).focus();
      else status.textContent = next.textContent;
      if (kind === "done") this.#tell("answered");
      else if (kind === "dismissed" || kind === "opted_out") this.#tell("dismissed", button.value);
    } catch {
      form.ariaBusy = null;
      status.textContent = this.dataset.cxFailed;
    }
  }
}

customElements.get("cx-prompt") ?? customElements.define("cx-prompt", CxPrompt);
