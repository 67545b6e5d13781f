// Starts the real binary on a free loopback port.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const BINARY = process.env.PITAYA_BIN ?? fileURLToPath(new URL('../../target/debug/pitaya', import.meta.url));

/** A running `pitaya demo`: `{base, stop}`; `environment` configures it. */
export async function startPitaya(environment = {}) {
  const listen = `127.0.0.1:${await freePort()}`;
  const child = spawn(BINARY, ['demo'], {
    env: { PATH: process.env.PATH, PITAYA_LISTEN: listen, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = [];
  const ended = new Promise((resolve) => {
    child.once('error', resolve);
    child.once('exit', resolve);
  });
  child.stderr.on('data', (text) => said.push(String(text)));
  await Promise.race([untilReady(child, said), ended.then(() => Promise.reject(new Error(`${BINARY} did not start:\n${said.join('')}`)))]);

  return {
    base: `http://${listen}`,
    stop: async () => {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

async function untilReady(child, said) {
  for await (const line of createInterface({ input: child.stdout })) {
    said.push(`${line}\n`);
    if (line.includes('http://')) break;
  }
  // Drains the pipe, so that the process never blocks on it.
  child.stdout.resume();
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}
