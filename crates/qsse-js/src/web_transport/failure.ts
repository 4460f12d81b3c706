import { Code, codeName, isRetryable } from "../code.js";
import { Failure, refusal } from "../failure.js";

/** Makes a failure of the code with which a subscription was refused or its stream was reset. */
export function streamFailure(code: number, message: string): Failure {
  const words = refusal(code, message);
  switch (code) {
    case Code.SHUTTING_DOWN:
      return new Failure("lost", words, { code });
    case Code.TOKEN_EXPIRED:
      return new Failure("token", words, { code });
    default:
      return new Failure(isRetryable(code) ? "busy" : "final", words, { code });
  }
}

/** Makes a failure of the end of a session. */
export function sessionFailure(code: number, reason: string): Failure {
  const isToken = code === Code.NOT_AUTHORISED || code === Code.TOKEN_EXPIRED;
  const words = reason === "" ? `the server closed the session: ${codeName(code)}` : reason;
  return new Failure(isToken ? "token" : "lost", words, { code });
}
