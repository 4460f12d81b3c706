const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const LIMIT = 1n << 64n;

/** The id of an event as numbers (QP-2.6). */
export interface Position {
  readonly epoch: bigint;
  readonly seq: bigint;
}

/** Returns the text of an epoch: its digits in base 62. */
export function epochText(epoch: bigint): string {
  let text = "";
  do {
    text = (DIGITS[Number(epoch % 62n)] as string) + text;
    epoch /= 62n;
  } while (epoch > 0n);
  return text;
}

/** Returns the text of an id, such as `G8-42`. */
export function idText(epoch: bigint, seq: bigint): string {
  return `${epochText(epoch)}-${seq}`;
}

/** Reads the text of an id. Returns `undefined` if it is none. An id has only one text. */
export function parseId(text: string): Position | undefined {
  const parts = /^([0-9A-Za-z]{1,11})-([0-9]{1,20})$/.exec(text);
  if (parts === null) {
    return undefined;
  }
  const [, digits, seq] = parts as unknown as [string, string, string];
  let epoch = 0n;
  for (const digit of digits) {
    epoch = epoch * 62n + BigInt(DIGITS.indexOf(digit));
  }
  const position = { epoch, seq: BigInt(seq) };
  const isWhole = position.epoch < LIMIT && position.seq < LIMIT;
  return isWhole && idText(position.epoch, position.seq) === text ? position : undefined;
}
