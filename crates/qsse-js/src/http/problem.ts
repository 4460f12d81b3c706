import { Code, isRetryable } from "../code.js";
import { Failure, refusal } from "../failure.js";

/** Statuses with which proxies and servers ask to come back later. */
const TEMPORARY = [408, 425, 429, 500, 502, 503, 504];

/** Makes a failure of an answer that is no success: a problem (RFC 9457), or that of a proxy. */
export async function failureOf(response: Response): Promise<Failure> {
  const { status } = response;
  const { code, detail } = await problem(response);
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  const details = {
    code,
    status,
    retryAfter: Number.isFinite(seconds) ? seconds * 1000 : undefined,
    // A proxy does not know what happened behind it.
    ambiguous: (status >= 500 && code === undefined) || code === Code.STORE_UNAVAILABLE,
  };
  const words = detail ?? `the server answered with status ${status}`;
  const message = code === undefined ? words : refusal(code, words);
  if (status === 401) {
    return new Failure("token", message, details);
  }
  if (code === Code.SHUTTING_DOWN) {
    return new Failure("lost", message, details);
  }
  const isTemporary = code === undefined ? TEMPORARY.includes(status) : isRetryable(code);
  return new Failure(isTemporary ? "busy" : "final", message, details);
}

async function problem(
  response: Response,
): Promise<{ code: number | undefined; detail: string | undefined }> {
  const none = { code: undefined, detail: undefined };
  if (response.headers.get("content-type")?.startsWith("application/problem+json") !== true) {
    await response.body?.cancel();
    return none;
  }
  try {
    const body = (await response.json()) as { code?: unknown; detail?: unknown } | null;
    return {
      code: typeof body?.code === "number" ? body.code : undefined,
      detail: typeof body?.detail === "string" ? body.detail : undefined,
    };
  } catch {
    return none;
  }
}
