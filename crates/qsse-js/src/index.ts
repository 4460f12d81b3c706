/**
 * The client of a qsse server for browsers and Node: subscriptions that survive lost connections,
 * and acknowledged publishing.
 *
 * @packageDocumentation
 */

export type { ReconnectPolicy } from "./backoff.js";
export { type Client, connect } from "./client.js";
export { Code } from "./code.js";
export type { CursorStore } from "./cursor_store.js";
export {
  type CloseReason,
  ConnectError,
  type ErrorDetails,
  PublishError,
  QsseError,
  SubscriptionError,
} from "./errors.js";
export { Event } from "./event.js";
export { Gap, type Item, type Notice, Reset } from "./notice.js";
export type { ConnectOptions, Data, PublishOptions, SubscribeOptions, Token } from "./options.js";
export type { OnLag, Published, Start, TransportName } from "./session.js";
export type { ConnectionState } from "./state.js";
export type { EventSubscription, Subscription } from "./subscription.js";
