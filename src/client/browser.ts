/** `ebscope/client` in a browser: loaded as it is, without a bundler. See docs/client.md. */
import { openBrowserSocket } from "./browser-socket.ts";
import { Client, type ClientOptions } from "./client.ts";
import type { TokenSource } from "./dialer.ts";

export * from "./common.ts";

export interface ConnectOptions extends ClientOptions {
  /** ws://HOST:PORT/rpc or http://HOST:PORT; that of the page unless told. */
  readonly url?: string | undefined;
  /** In the file that `ebscope serve` named; or the way to get it, asked before each attempt. */
  readonly token: TokenSource;
}

/** Connects. Rejects with a BridgeError when that fails; why a bridge refused it, no browser tells. */
export async function connect({ url, token, ...options }: ConnectOptions): Promise<Client> {
  const { location } = globalThis as { location?: { readonly origin: string } };
  return Client.connect(openBrowserSocket, url ?? location?.origin ?? "", token, options);
}
