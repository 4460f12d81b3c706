import type { CloseReason } from "./errors.js";
import type { TransportName } from "./session.js";

/** The state of a client's connection. */
export type ConnectionState =
  /** The client connects for the first time. */
  | { readonly status: "connecting" }
  /** The server has admitted the client. */
  | { readonly status: "connected"; readonly transport: TransportName }
  /** The connection was lost. Subscriptions and publishes wait. */
  | {
      readonly status: "reconnecting";
      /** The number of this attempt since the connection was lost, from 1. */
      readonly attempt: number;
      /** How long the client waits before it, in milliseconds. */
      readonly delay: number;
      /** Why the connection was lost, or the last attempt failed. */
      readonly reason: Error;
    }
  /** There is no connection, and there will be none. */
  | { readonly status: "closed"; readonly reason: CloseReason };
