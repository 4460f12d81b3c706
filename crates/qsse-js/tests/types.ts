/** What must compile, and what must not. It is never run. */
import {
  type Client,
  connect,
  type ConnectionState,
  type Event,
  type Gap,
  type Item,
  type Reset,
  type Subscription,
} from "../src/index.js";

export async function readme(render: (topic: string, data: unknown) => void): Promise<void> {
  const client = await connect("https://push.example.org", { token: async () => "secret" });
  for await (const item of client.subscribe("ride.*.start", { start: "last:1" })) {
    if (item.type === "event") render(item.topic, item.json());
    else console.warn(String(item));
  }
  await client.publish("ride.7.start", { driver: "Ada" });
}

export async function aNoticeCannotBeOverlooked(client: Client): Promise<void> {
  for await (const item of client.subscribe("ride.*")) {
    // @ts-expect-error a gap has no topic
    item.topic;
    // @ts-expect-error nor data
    item.json();
    switch (item.type) {
      case "event":
        item.data satisfies Uint8Array;
        break;
      case "gap":
        item satisfies Gap;
        break;
      case "reset":
        item satisfies Reset;
        break;
      default:
        item satisfies never;
    }
  }
}

export async function withOnNoticeThereAreOnlyEvents(client: Client): Promise<void> {
  const events = client.subscribe(["a", "b"], { onNotice: (notice) => console.warn(`${notice}`) });
  events satisfies Subscription<Event>;
  for await (const event of events) {
    event.topic satisfies string;
    event.time satisfies Date;
    event.json<{ driver: string }>().driver satisfies string;
    // @ts-expect-error what the data is has to be said
    event.json().driver;
  }
  const items: Subscription<Item> = client.subscribe("a", { start: new Date() });
  items.close();
}

export async function wrongOptions(client: Client): Promise<void> {
  // @ts-expect-error no such start
  client.subscribe("a", { start: "lats:1" });
  // @ts-expect-error no such option
  client.subscribe("a", { startt: "live" });
  // @ts-expect-error on_lag is onLag here
  client.subscribe("a", { on_lag: "skip" });
  // @ts-expect-error a pattern is a text
  client.subscribe(7);
  // @ts-expect-error there is nothing to publish
  await client.publish("a");
  // @ts-expect-error a key is a text
  await client.publish("a", "", { key: 7 });
  // @ts-expect-error a function's token is a text
  await connect("https://a", { token: () => 7 });
  const published = await client.publishMatching("a.*", new Uint8Array(3));
  // @ts-expect-error it may be null
  published.first.length;
}

export function states(state: ConnectionState): string {
  switch (state.status) {
    case "connecting":
      return "";
    case "connected":
      return state.transport;
    case "reconnecting":
      return `${state.attempt} ${state.delay} ${state.reason.message}`;
    case "closed":
      return state.reason.type === "local" ? "" : state.reason.error.message;
  }
}
