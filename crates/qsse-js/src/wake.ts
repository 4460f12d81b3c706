/**
 * Calls `callback` when the tab or the network wakes: the page is shown again, comes back from the
 * browser's cache, or the network is there again. Timers may have slept until then. Returns a
 * function that stops this. Outside browsers it does nothing.
 */
export function onWake(callback: () => void): () => void {
  const page = globalThis.document as Document | undefined;
  const window = globalThis.window as Window | undefined;
  if (page === undefined || window === undefined) {
    return () => undefined;
  }
  const shown = (): void => {
    if (page.visibilityState === "visible") {
      callback();
    }
  };
  page.addEventListener("visibilitychange", shown);
  page.addEventListener("resume", callback);
  window.addEventListener("pageshow", callback);
  window.addEventListener("online", callback);
  return () => {
    page.removeEventListener("visibilitychange", shown);
    page.removeEventListener("resume", callback);
    window.removeEventListener("pageshow", callback);
    window.removeEventListener("online", callback);
  };
}

/** Calls `callback` when the page may be about to go. Returns a function that stops this. */
export function onLeave(callback: () => void): () => void {
  const window = globalThis.window as Window | undefined;
  window?.addEventListener("pagehide", callback);
  return () => window?.removeEventListener("pagehide", callback);
}
