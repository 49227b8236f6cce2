import type { Socket } from 'node:net';
import { inspect } from 'node:util';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { Connection, Session } from 'ssh2';
import { openSsh } from '../../../../adapters/ssh/client.ts';
import type { SshClient } from '../../../../adapters/ssh/port.ts';
import { errorOf } from '../../../support/errors.ts';
import { freePort, needSshd, Sshd } from '../../../support/sshd.ts';
import { codeOf, handles, openAt, Peer, SCRIPTED_PIN, Scripted, until } from './servers.ts';

const target = (address: string) => ({ address, username: 'operator', password: 'p4ss w0rd', pin: SCRIPTED_PIN });

const accept = (attempt: { accept(): void }): void => attempt.accept();

describe('a server that is none', () => {
  const IDENT = 'SSH-2.0-OpenSSH_9.6\r\n';
  const peers: readonly { readonly title: string; readonly speak: (socket: Socket) => void; readonly code: string }[] = [
    { title: 'closes at once', speak: (socket) => socket.end(), code: 'CONNECTION_LOST' },
    { title: 'resets at once', speak: (socket) => socket.resetAndDestroy(), code: 'CONNECTION_LOST' },
    { title: 'says why and closes', speak: (socket) => socket.end('Exceeded MaxStartups\r\n'), code: 'CONNECTION_LOST' },
    { title: 'says nothing', speak: () => undefined, code: 'TIMED_OUT' },
    { title: 'speaks another language', speak: (socket) => socket.write('HTTP/1.1 400 Bad Request\rX'), code: 'PROTOCOL_ERROR' },
    { title: 'speaks the first SSH', speak: (socket) => socket.write('SSH-1.5-old\r\n'), code: 'PROTOCOL_ERROR' },
    { title: 'has one line without an end', speak: (socket) => socket.write('x'.repeat(1 << 20)), code: 'PROTOCOL_ERROR' },
    { title: 'has a banner without an end', speak: pour, code: 'PROTOCOL_ERROR' },
    { title: 'closes after its name', speak: (socket) => socket.end(IDENT), code: 'CONNECTION_LOST' },
    { title: 'is silent after its name', speak: (socket) => socket.write(IDENT), code: 'TIMED_OUT' },
    { title: 'sends garbage after its name', speak: (socket) => socket.write(`${IDENT}${'\xff'.repeat(500)}`), code: 'PROTOCOL_ERROR' },
    {
      title: 'says "you are in" at once',
      speak: (socket) => socket.write(Buffer.concat([Buffer.from(IDENT), packet(52)])),
      code: 'PROTOCOL_ERROR',
    },
  ];
  for (const { title, speak, code } of peers) {
    it(`${title}: ${code}, and nothing of ours is sent or left`, async () => {
      const before = handles();
      {
        await using peer = await Peer.start(speak);

        const error = await errorOf(openSsh(target(peer.address), { deadlineMs: 500 }));

        expect(error.code, error.message).to.equal(code);
        expect(error.message).to.include('the SSH server at [127.0.0.1]');
        expect(peer.heard.includes('operator')).to.equal(false);
        expect(inspect(error, { depth: 9 })).not.to.include('p4ss');
      }
      await until(() => handles().length <= before.length);
    });
  }

  it('does not listen, or has no name', async () => {
    expect(await codeOf(openSsh(target(`127.0.0.1:${await freePort()}`)))).to.equal('CONNECTION_REFUSED');
    expect(await codeOf(openSsh(target('no-such-host.invalid')))).to.equal('CONNECTION_REFUSED');
  });
});

describe('a server that is not safe', () => {
  before(function () {
    needSshd(this);
  });

  it('is refused before the login', async () => {
    const weak = [
      ['KexAlgorithms diffie-hellman-group14-sha1'],
      ['KexAlgorithms diffie-hellman-group-exchange-sha256'],
      ['Ciphers aes256-cbc'],
      ['Ciphers chacha20-poly1305@openssh.com'],
      ['Ciphers aes256-ctr', 'MACs hmac-sha1'],
      ['HostKeyAlgorithms ssh-rsa', 'RequiredRSASize 1024'],
    ];
    for (const config of weak) {
      await using sshd = await Sshd.start({ config, hostKeys: ['ed25519', 'rsa'] });

      const error = await errorOf(openAt(sshd));

      expect(error.code, config[0]).to.equal('PROTOCOL_ERROR');
      expect(error.message).to.include('offers no safe algorithms');
    }
  });
});

/** Line after line, as long as anybody takes them. */
function pour(socket: Socket): void {
  const lines = 'Welcome to this host, have a nice day\r\n'.repeat(2000);
  const more = (): void => {
    while (!socket.destroyed && socket.write(lines));
  };
  socket.on('drain', more);
  more();
}

/** A message of one byte, as it goes over the wire before any key is exchanged. */
const packet = (type: number): Buffer => Buffer.concat([Buffer.from([0, 0, 0, 12, 10, type]), Buffer.alloc(10)]);

describe('a server that does not keep to what it has begun', () => {
  const open = (server: Scripted): Promise<SshClient> => openSsh(target(server.address));

  /** Each session that a client asks for. */
  const onSession =
    (act: (session: Session) => void) =>
    (connection: Connection): void => {
      connection.on('session', (take) => act(take()));
    };

  it('closes in the middle of the login', async () => {
    await using server = await Scripted.start(() => server.hangUp());

    expect(await codeOf(open(server))).to.equal('CONNECTION_LOST');
  });

  it('never answers the login', async () => {
    await using server = await Scripted.start(() => undefined);

    expect(await codeOf(openSsh(target(server.address), { deadlineMs: 200 }))).to.equal('TIMED_OUT');
  });

  it('refuses to run commands, or to open a session', async () => {
    await using server = await Scripted.start(
      accept,
      {},
      onSession((session) => session.on('exec', (_a: unknown, reject: () => void) => reject())),
    );
    await using client = await open(server);
    expect(await codeOf(client.exec('true'))).to.equal('PERMISSION_DENIED');

    await using closed = await Scripted.start(accept, {}, (connection) => {
      connection.on('session', (_take, refuse) => refuse());
    });
    await using other = await open(closed);
    expect(await codeOf(other.exec('true'))).to.equal('HOST_BUSY');
  });

  it('never answers a command, or hangs up on it', async () => {
    await using mute = await Scripted.start(
      accept,
      {},
      onSession((session) => session.on('exec', () => undefined)),
    );
    await using client = await open(mute);
    expect(await codeOf(client.exec('true', { deadlineMs: 100 }))).to.equal('TIMED_OUT');

    await using rude = await Scripted.start(
      accept,
      {},
      onSession((session) => session.on('exec', () => rude.hangUp())),
    );
    await using other = await open(rude);
    expect(await codeOf(other.exec('true'))).to.equal('CONNECTION_LOST');
  });

  it('has an SFTP that answers nothing, or nonsense', async () => {
    const serving = (answer: string) =>
      onSession((session) =>
        session.on('subsystem', (take: () => NodeJS.WritableStream) => {
          take().write(answer);
        }),
      );
    await using mute = await Scripted.start(accept, {}, serving(''));
    await using client = await open(mute);
    expect(await codeOf(client.putFile('x', Buffer.from('x'), { deadlineMs: 100 }))).to.equal('TIMED_OUT');
    expect(await codeOf(client.readFile('x', { deadlineMs: 100 }))).to.equal('TIMED_OUT');

    await using nonsense = await Scripted.start(accept, {}, serving('\0\0\0\x05\x02\0\0\0\x03\0\0\0\x05\x65\0\0\0\x07'));
    await using other = await open(nonsense);
    expect(await codeOf(other.putFile('x', Buffer.from('x'), { deadlineMs: 1000 }))).to.be.oneOf(['CONNECTION_LOST', 'TIMED_OUT']);
    expect(other.lost.aborted).to.equal(false);
  });
});
