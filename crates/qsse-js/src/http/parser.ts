/** A block of server-sent events. */
export interface Block {
  /** The id after this block; empty if there was none yet. */
  readonly id: string;
  /** The type of the event. */
  readonly event: string;
  /** The data; `undefined` if the block only moved the id and is no event. */
  readonly data: string | undefined;
}

/**
 * Reads server-sent events as the HTML standard says, from chunks of any size. Chunks go in, and
 * blocks come out, each decoded when it is asked for. An unterminated last block is dropped.
 */
export class SseParser {
  // Like the standard's "UTF-8 decode", it drops one byte order mark at the beginning.
  readonly #decoder = new TextDecoder("utf-8");
  #text = "";
  /** Where the next line begins in the text. */
  #from = 0;
  /** Up to where the text has no end of that line. */
  #searched = 0;
  /** The next carriage return that was found, or -1 if the text has none from `#searched` on. */
  #return = -1;
  /** A line ended with a carriage return: a line feed that follows belongs to it. */
  #skipFeed = false;
  #id = "";
  #moved = false;
  #event = "";
  #data: string | undefined;
  #retry: number | undefined;

  /** The time to wait before the next attempt, in milliseconds, if the server has said so. */
  get retry(): number | undefined {
    return this.#retry;
  }

  /** Adds the next bytes of the stream. */
  push(chunk: Uint8Array): void {
    const rest = this.#text.slice(this.#from);
    this.#text = rest + this.#decoder.decode(chunk, { stream: true });
    this.#searched -= this.#from;
    this.#from = 0;
    this.#return = this.#text.indexOf("\r", this.#searched);
  }

  /** Returns the next block, or `undefined` until more bytes are pushed. */
  next(): Block | undefined {
    for (let line = this.#line(); line !== undefined; line = this.#line()) {
      if (line !== "") {
        this.#field(line);
        continue;
      }
      const block = this.#dispatch();
      if (block !== undefined) {
        return block;
      }
    }
    return undefined;
  }

  /** Returns the next whole line. It ends with CR LF, LF or CR. */
  #line(): string | undefined {
    if (this.#skipFeed && this.#from < this.#text.length) {
      this.#skipFeed = false;
      if (this.#text[this.#from] === "\n") {
        this.#from += 1;
        this.#searched = this.#from;
      }
    }
    if (this.#return !== -1 && this.#return < this.#searched) {
      this.#return = this.#text.indexOf("\r", this.#searched);
    }
    const feed = this.#text.indexOf("\n", this.#searched);
    const isReturn = this.#return !== -1 && (feed === -1 || this.#return < feed);
    const end = isReturn ? this.#return : feed;
    if (end === -1) {
      this.#searched = this.#text.length;
      return undefined;
    }
    const line = this.#text.slice(this.#from, end);
    this.#skipFeed = isReturn;
    this.#from = end + 1;
    this.#searched = this.#from;
    return line;
  }

  #field(line: string): void {
    const colon = line.indexOf(":");
    if (colon === 0) {
      return;
    }
    const name = colon === -1 ? line : line.slice(0, colon);
    const begin = line[colon + 1] === " " ? colon + 2 : colon + 1;
    const value = colon === -1 ? "" : line.slice(begin);
    switch (name) {
      case "data":
        this.#data = this.#data === undefined ? value : `${this.#data}\n${value}`;
        break;
      case "event":
        this.#event = value;
        break;
      case "id":
        if (!value.includes("\0")) {
          this.#id = value;
          this.#moved = true;
        }
        break;
      case "retry":
        if (/^[0-9]+$/.test(value)) {
          this.#retry = Number(value);
        }
        break;
      default:
    }
  }

  #dispatch(): Block | undefined {
    const [data, event, moved] = [this.#data, this.#event, this.#moved];
    this.#data = undefined;
    this.#event = "";
    this.#moved = false;
    if (data === undefined && !moved) {
      return undefined;
    }
    return { id: this.#id, event: event === "" ? "message" : event, data };
  }
}
