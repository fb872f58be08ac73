// What stands over the picture when there is none: waiting, broken, over. Every text says what to do.

/** Texts by state. `steps` are commands, set in type that people can copy. */
export const NOTICES = {
  loading: { busy: true, title: "Fetching the first seconds", text: ["From the viewers near you, where they have them."] },
  slow: {
    busy: true,
    title: "Still waiting for the first part of the film",
    text: ["The peer has been asked and has not sent it yet. The network is slow, or whoever holds the film is away."],
  },
  "peer-away": {
    busy: true,
    title: "The peer on this machine does not answer",
    text: ["Start it with ", { code: "./run-demo.sh 5" }, ", or look into its terminal for why it stopped. This page goes on by itself as soon as it is back."],
    button: "Try again now",
  },
  "film-missing": {
    busy: true,
    title: "There is no film here yet",
    text: ["Make one where the origin runs: ", { code: "./segment.sh VIDEO" }, ". Or check the address that the peer was given with ", { code: "--origin" }, ". This page looks again by itself."],
    button: "Look again now",
  },
  "film-unavailable": {
    busy: true,
    title: "The film’s origin does not answer",
    text: ["The peer runs, but neither the origin nor another viewer gives it the film’s description. Check that the origin runs, and the peer’s ", { code: "--origin" }, " address. This page looks again by itself."],
    button: "Look again now",
  },
  broken: {
    title: "Playback stopped",
    text: ["A part of the film could not be fetched or shown. This page tries again by itself, from where you were."],
    button: "Retry",
  },
  "gave-up": {
    title: "Playback stopped",
    text: ["The film could not be played, also not after several attempts."],
    button: "Retry",
  },
  library: {
    title: "The player library is not here",
    text: ["Run ", { code: "./run-demo.sh 1" }, " once where the peer runs: it fetches dash.js. Then load this page again."],
    button: "Load again",
  },
  "media-source": {
    title: "This browser can’t play the film",
    text: ["It lacks Media Source Extensions. A recent Firefox, Chromium, Edge or Safari has them."],
  },
  "bad-address": {
    title: "That is no address of a film",
    text: ["What follows ", { code: "?mpd=" }, " must be a path on this server, such as ", { code: "/dash/dash.mpd" }, "."],
    button: "Play the usual film",
  },
  blocked: {
    title: "Ready to play",
    text: ["Your browser waits for a click before it plays a film."],
    button: "Play",
  },
  ended: { title: "That was the film", text: [], button: "Watch again" },
};

export class Notice {
  #stage;
  #box;
  #spinner;
  #title;
  #text;
  #detail;
  #button;
  #action = null;
  #kind = null;

  constructor(root = document) {
    this.#stage = root.getElementById("stage");
    this.#box = root.getElementById("notice");
    this.#spinner = root.getElementById("notice-spinner");
    this.#title = root.getElementById("notice-title");
    this.#text = root.getElementById("notice-text");
    this.#detail = root.getElementById("notice-detail");
    this.#button = root.getElementById("notice-button");
    this.#button.addEventListener("click", () => this.#action?.());
  }

  get kind() { return this.#kind; }

  /** Shows one of NOTICES; `detail` is a line from whoever knows more, `action` what the button does. */
  show(kind, { text, detail = null, action = null } = {}) {
    const { busy = false, title, text: usual, button } = NOTICES[kind];
    this.#kind = kind;
    this.#stage.dataset.notice = kind;
    this.#spinner.hidden = !busy;
    setText(this.#title, title);
    this.#text.replaceChildren(...(text ?? usual).map(piece));
    this.#detail.hidden = !detail;
    setText(this.#detail, detail ?? "");
    this.#action = action;
    this.#button.hidden = !button || action === null;
    setText(this.#button, button ?? "");
    this.#box.hidden = false;
  }

  hide() {
    // Whoever pressed the button shall not lose the place: the film is what they asked for.
    const hadFocus = this.#box.contains(document.activeElement);
    this.#kind = null;
    delete this.#stage.dataset.notice;
    this.#box.hidden = true;
    if (hadFocus) this.#stage.querySelector("video").focus({ preventScroll: true });
  }
}

function piece(part) {
  if (typeof part === "string") return document.createTextNode(part);
  const code = document.createElement("code");
  code.textContent = part.code;
  return code;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
