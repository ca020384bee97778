/** How much of the server one client may have, and all of them together. */

export interface Limits {
  /** Bytes of a message from a client; longer ones close the connection (1009). */
  readonly message: number;
  /** Frames of one message. */
  readonly fragments: number;
  /** Calls in one JSON-RPC batch. */
  readonly batch: number;
  /** Calls of one connection that are not answered yet. */
  readonly callsInFlight: number;
  /** Of one connection, on average; a long message counts as several. */
  readonly requestsPerSecond: number;
  /** Requests that may come at once before that average counts. */
  readonly requestBurst: number;
  /** Subscriptions of one connection. */
  readonly subscriptions: number;
  /** Bytes that wait for a slow reader before it gets no more events. */
  readonly unsent: number;
  /** Events that a reader may fall further behind before it is told that it lagged. */
  readonly behind: number;
  /** Bytes of answers that wait for a client which does not read: it is cut off. */
  readonly unreadAnswers: number;
  /** Bytes of one answer. */
  readonly answer: number;
  /** TCP or Unix connections, of any kind. */
  readonly connections: number;
  /** WebSocket connections. */
  readonly sockets: number;
  /** HTTP requests that are being answered, streams of events not counted. */
  readonly httpRequests: number;
  /** Streams of events over HTTP. */
  readonly httpStreams: number;
  /** Milliseconds in which nothing came or went, after which a request over HTTP is ended; streams of events are let be. */
  readonly idle: number;
  /** Milliseconds between two pings; a client that gives no sign of life for two of them is cut off. */
  readonly ping: number;
}

export const DEFAULT_LIMITS: Limits = {
  message: 1 << 20,
  fragments: 1024,
  batch: 32,
  callsInFlight: 64,
  requestsPerSecond: 1000,
  requestBurst: 2000,
  subscriptions: 16,
  unsent: 1 << 18,
  behind: 8192,
  unreadAnswers: 128 << 20,
  answer: 64 << 20,
  connections: 1024,
  sockets: 512,
  httpRequests: 32,
  httpStreams: 128,
  idle: 300_000,
  ping: 20_000,
};
