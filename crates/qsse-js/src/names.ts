/** The longest topic or pattern, in bytes. */
const NAME_BYTES = 255;

/** The most segments of a topic or pattern. */
const SEGMENTS = 16;

/** Says what is wrong with a topic, or with a pattern. Returns `undefined` if nothing is. */
export function nameProblem(name: string, isPattern: boolean): string | undefined {
  const what = isPattern ? "pattern" : "topic";
  const segments = name.split(".");
  const wrong = (why: string): string => `${JSON.stringify(name)} is not a ${what}: ${why}`;
  if (segments.includes("")) {
    return wrong("write segments joined by dots, none of them empty");
  }
  if (segments.length > SEGMENTS || new TextEncoder().encode(name).length > NAME_BYTES) {
    return wrong(`it has at most ${NAME_BYTES} bytes and ${SEGMENTS} segments`);
  }
  if (/[\u0000-\u001f\u007f-\u009f]/.test(name)) {
    return wrong("it has a control character");
  }
  if (!isPattern && name.includes("*")) {
    return wrong("to reach every topic that a pattern matches, use publishMatching");
  }
  if (segments.some((segment) => segment.includes("*") && segment !== "*")) {
    return wrong("a * stands alone in its segment, as in ride.*.start");
  }
  return undefined;
}
