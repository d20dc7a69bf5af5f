/** One installation per client, however many applications, and copies of this library, ask for it. */

/** What an installation is taken out by; it may know more. */
interface Removable {
  remove(): void;
}

interface Shared<Installation extends Removable> {
  readonly installation: Installation;
  holders: number;
}

/** Somebody's hold of an installation. */
interface Hold<Installation extends Removable> {
  readonly installation: Installation;
  /** The last of those who hold it takes it out; calling again changes nothing. */
  release(): void;
}

/** Installs on a client where no one has yet; `key` is a registered symbol, that other copies of this library find it by. @internal */
export function holdInstallation<Installation extends Removable>(
  client: object,
  key: symbol,
  install: () => Installation,
): Hold<Installation> {
  const shared = (Reflect.get(client, key) as Shared<Installation> | undefined) ?? { installation: install(), holders: 0 };
  if (shared.holders === 0) Object.defineProperty(client, key, { value: shared, configurable: true });
  shared.holders += 1;
  let isHeld = true;
  const release = (): void => {
    if (!isHeld) return;
    isHeld = false;
    shared.holders -= 1;
    if (shared.holders > 0) return;
    shared.installation.remove();
    Reflect.deleteProperty(client, key);
  };
  return { installation: shared.installation, release };
}

const kept = new WeakSet();

/** Installs on a client that the user names, and never takes it out; naming it again changes nothing. @internal */
export function installForGood<Client extends object>(client: Client, install: (client: Client) => unknown): Client {
  if (!kept.has(client)) {
    install(client);
    kept.add(client);
  }
  return client;
}
