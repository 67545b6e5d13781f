// Starts the real binary on a free loopback port.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';

const BINARY = process.env.PITAYA_BIN ?? fileURLToPath(new URL('../../target/debug/pitaya', import.meta.url));

/** A running `pitaya demo`: `{base, stop}`; `environment` configures it. */
export async function startPitaya(environment = {}) {
  const listen = `127.0.0.1:${await freePort()}`;
  const { stop } = await start(['demo'], { PITAYA_LISTEN: listen, ...environment }, '/metrics');
  return { base: `http://${listen}`, stop };
}

/** A running `pitaya simulate`: `{base, environment, stop}`; `environment` leads `serve` to it. */
export async function startSimulator() {
  const listen = `127.0.0.1:${await freePort()}`;
  const { said, stop } = await start(['simulate', '--listen', listen], {}, 'CUSTOMER_IDS');
  const environment = Object.fromEntries([...said.matchAll(/^(PITAYA_\w+)=(.*)$/gm)].map(([, name, value]) => [name, value]));
  return { base: `http://${listen}`, environment, stop };
}

/** A running `pitaya serve` that needs no keys: `{base, stop}`. */
export async function startService(environment) {
  const listen = `127.0.0.1:${await freePort()}`;
  const { stop } = await start(['serve'], { PITAYA_AUTH: 'disabled', PITAYA_LISTEN: listen, ...environment }, '"serving"');
  return { base: `http://${listen}`, stop };
}

/** Starts the binary and waits until it has printed `last`. */
async function start(command, environment, last) {
  const child = spawn(BINARY, command, { env: { PATH: process.env.PATH, ...environment }, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  const ended = new Promise((resolve) => {
    child.once('error', resolve);
    child.once('exit', resolve);
  });
  const ready = new Promise((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (text) => {
        said += text;
        if (said.includes(last)) resolve();
      });
    }
  });
  await Promise.race([ready, ended.then(() => Promise.reject(new Error(`${BINARY} did not start:\n${said}`)))]);

  return {
    said,
    stop: async () => {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}
