// The keyboard, wherever the focus is, without taking a key that a control needs itself.

const SKIP_S = 5;

export function listenForKeys(video, stage, toggleDetails) {
  const actions = {
    " ": () => toggle(video),
    k: () => toggle(video),
    m: () => { video.muted = !video.muted; },
    f: () => fullScreen(stage),
    d: toggleDetails,
    ArrowLeft: () => skip(video, -SKIP_S),
    ArrowRight: () => skip(video, SKIP_S),
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const action = actions[key];
    if (!action) return;
    // Within the film's own controls (they all say "video" here) Space presses what has the focus.
    if (event.target === video ? key === " " : isControl(event.target)) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  }, { capture: true });
}

function isControl(target) {
  return target instanceof Element && target.closest("button, a, input, select, textarea, summary, [contenteditable]") !== null;
}

function toggle(video) {
  if (!video.currentSrc) return;
  if (video.paused) video.play().catch(() => { /* The player says "blocked" if it may not. */ });
  else video.pause();
}

function skip(video, bySeconds) {
  if (!Number.isFinite(video.duration)) return;
  video.currentTime = Math.min(video.duration, Math.max(0, video.currentTime + bySeconds));
}

function fullScreen(stage) {
  if (document.fullscreenElement) document.exitFullscreen();
  else stage.requestFullscreen?.().catch(() => { /* Refused: the page stays as it is. */ });
}
