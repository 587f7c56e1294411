// Runs inside n8n (EXTERNAL_HOOK_FILES) once the file RECORD_GO is there, which names an execution. It writes the values that n8n's license keeps from a community
// instance, each with n8n's own Cipher and in the shape that the version's own source writes; a value whose source the version
// does not have is left out. Then it reads every encrypted value that is there with the same Cipher, and puts the plaintexts into
// the file RECORD_OUT: the manifest is n8n's word, not ours.
'use strict';
const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { createRequire } = require('node:module');

const main = fs.realpathSync(process.argv[1]);
const inside = createRequire(main);
const dist = path.join(path.dirname(main), '..', 'dist');

const sources = {
  ldap: ['modules/ldap.ee/ldap.service.ee.js', 'ldap.ee/ldap.service.ee.js'],
  oidc: ['modules/sso-oidc/oidc.service.ee.js', 'sso.ee/oidc/oidc.service.ee.js'],
  saml: ['modules/sso-saml/saml.service.ee.js', 'sso.ee/saml/saml.service.ee.js'],
  sourceControl: ['modules/source-control.ee/source-control-preferences.service.ee.js', 'environments.ee/source-control/source-control-preferences.service.ee.js'],
  chatHub: ['modules/chat-hub/chat-hub-workflow.service.js'],
  executionContext: ['../../n8n-core/dist/execution-engine/execution-context.service.js'],
};

// Whether the version's source has the word: what it has no word for, it does not encrypt.
const has = (source, word) => sources[source].some((file) => {
  const at = path.join(dist, file);
  return fs.existsSync(at) && fs.readFileSync(at, 'utf8').includes(word);
});

const pem = () => crypto.generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' });

class Instance {
  constructor() {
    const { Container } = inside('@n8n/di');
    const db = inside('@n8n/db');
    this.cipher = Container.get(inside('n8n-core').Cipher);
    this.source = Container.get(inside('@n8n/typeorm').DataSource);
    this.prefix = Container.get(inside('@n8n/config').GlobalConfig).database.tablePrefix;
    this.settings = Container.get(db.SettingsRepository);
    this.users = Container.get(db.UserRepository);
    this.executions = Container.get(db.ExecutionDataRepository);
    this.planted = new Set();
  }

  async encrypt(plain) {
    return this.cipher.encryptV2 ? await this.cipher.encryptV2(plain) : this.cipher.encrypt(plain);
  }

  async decrypt(stored) {
    return this.cipher.decryptV2 ? await this.cipher.decryptV2(stored) : this.cipher.decrypt(stored);
  }

  async exists(table) {
    const runner = this.source.createQueryRunner();
    try {
      const { schema } = this.source.options;
      return await runner.hasTable((schema ? schema + '.' : '') + this.prefix + table);
    } finally {
      await runner.release();
    }
  }

  // In the SQL of the database: TypeORM's own names for columns differ from the columns' where a module's entities are loaded.
  name(table) {
    const { schema } = this.source.options;
    const escape = (name) => this.source.driver.escape(name);
    return (schema ? escape(schema) + '.' : '') + escape(this.prefix + table);
  }

  async rows(table) {
    return (await this.exists(table)) ? await this.source.query(`SELECT * FROM ${this.name(table)}`) : [];
  }

  async insert(table, row) {
    if (!(await this.exists(table))) return;
    const columns = Object.keys(row).map((name) => this.source.driver.escape(name));
    const places = columns.map((_, i) => (this.source.options.type === 'postgres' ? `$${i + 1}` : '?'));
    const values = Object.values(row).map((value) => (value === false ? (this.source.options.type === 'postgres' ? false : 0) : value));
    await this.source.query(`INSERT INTO ${this.name(table)} (${columns}) VALUES (${places})`, values);
    this.planted.add(table);
  }

  async set(key, value) {
    await this.settings.save({ key, value: typeof value === 'string' ? value : JSON.stringify(value), loadOnStartup: true });
    this.planted.add(key);
  }
}

async function plantSettings(n8n) {
  if (has('ldap', 'bindingAdminPassword')) {
    const row = await n8n.settings.findOneBy({ key: 'features.ldap' });
    await n8n.set('features.ldap', {
      ...JSON.parse(row.value), connectionUrl: 'ldap.example.com', baseDn: 'dc=example,dc=com', bindingAdminDn: 'cn=admin,dc=example,dc=com',
      bindingAdminPassword: await n8n.encrypt('ldap-Bïnd-"pässwörd"\\1'),
    });
  }
  if (has('oidc', 'clientSecret')) {
    await n8n.set('features.oidc', {
      clientId: 'n8n', clientSecret: await n8n.encrypt('oidc-client-secret-0123456789'),
      discoveryEndpoint: 'https://idp.example.com/.well-known/openid-configuration', loginEnabled: false, prompt: 'select_account',
    });
  }
  if (has('saml', 'signingPrivateKey')) {
    await n8n.set('features.saml', {
      metadata: '<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="https://idp.example.com"/>',
      loginEnabled: false, loginLabel: 'SAML', signingPrivateKey: await n8n.encrypt(pem()),
    });
  }
  if (has('sourceControl', 'encryptedPassword')) {
    await n8n.set('features.sourceControl.httpsCredentials', {
      encryptedUsername: await n8n.encrypt('git-user'), encryptedPassword: await n8n.encrypt('git-token-0123456789'),
    });
  }
  if (has('sourceControl', 'features.sourceControl.sshKeys') && !(await n8n.settings.findOneBy({ key: 'features.sourceControl.sshKeys' }))) {
    await n8n.set('features.sourceControl.sshKeys', {
      encryptedPrivateKey: await n8n.encrypt(pem()), publicKey: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIRecordedForTheTestsOfSallyport n8n deploy key',
    });
  }
}

const vault = { url: 'https://vault.example.com', token: 'hvs.recorded-0123456789', authMethod: 'token', kvVersion: '2' };

async function plantTables(n8n) {
  if (await n8n.exists('secrets_provider_connection')) {
    await n8n.insert('secrets_provider_connection', {
      providerKey: 'recorded-vault', type: 'vault', isEnabled: false, encryptedSettings: await n8n.encrypt(JSON.stringify(vault)),
    });
  } else {
    await n8n.set('feature.externalSecrets', await n8n.encrypt(JSON.stringify({ vault: { connected: false, connectedAt: null, settings: vault } })));
  }
  const [user] = await n8n.users.find();
  const [credential] = await n8n.rows('credentials_entity');
  const resolver = 'recordedResolver';
  await n8n.insert('dynamic_credential_resolver', {
    id: resolver, name: 'Recorded', type: 'credential-resolver.oauth2-1.0',
    config: await n8n.encrypt(JSON.stringify({ metadataUri: 'https://idp.example.com', clientId: 'n8n', clientSecret: 'resolver-secret-0123' })),
  });
  const entry = JSON.stringify({ oauthTokenData: { access_token: 'dynamic-access-0123456789', refresh_token: 'dynamic-refresh-0123456789' } });
  await n8n.insert('dynamic_credential_entry', {
    credential_id: credential.id, subject_id: 'subject-1', resolver_id: resolver, data: await n8n.encrypt(entry),
  });
  await n8n.insert('dynamic_credential_user_entry', {
    credentialId: credential.id, userId: user.id, resolverId: resolver, data: await n8n.encrypt(entry),
  });
  await n8n.insert('promotion_provider', {
    id: 'recordedProvider', name: 'Recorded', type: 'git', authType: 'token', config: JSON.stringify({ schemaVersion: 1 }),
    auth: await n8n.encrypt(JSON.stringify({ schemaVersion: 1, username: 'git-user', password: 'promotion-token-0123456789' })),
  });
}

const { parse, stringify } = inside('flatted');

// The run's encrypted parts, by the path they have once the flatted text is read.
const runPaths = [
  ['executionData', 'runtimeData', 'credentials'],
  ['executionData', 'runtimeData', 'secureArtifacts'],
  ['executionData', 'nodeExecutionStack', 0, 'data', 'main', 0, 0, 'encryptedMetadata'],
];
const at = (value, steps) => steps.reduce((inner, step) => inner?.[step], value);

async function plantExecution(n8n, id) {
  const row = await n8n.executions.findOneBy({ executionId: id });
  const run = parse(row.data);
  if (has('executionContext', 'encrypt')) {
    run.executionData.runtimeData ??= { version: 1, establishedAt: Date.now(), source: 'webhook' };
    const { runtimeData } = run.executionData;
    runtimeData.credentials = await n8n.encrypt(JSON.stringify({ version: 1, identity: 'identity-token-0123456789', metadata: { source: 'bearer' } }));
    if (has('executionContext', 'secureArtifacts')) {
      runtimeData.secureArtifacts = await n8n.encrypt(JSON.stringify({ version: 1, token: 'artifact-0123456789' }));
    }
  }
  if (has('chatHub', 'encryptedMetadata')) {
    run.executionData.nodeExecutionStack[0].data.main[0][0].encryptedMetadata = await n8n.encrypt(
      JSON.stringify({ authToken: 'chat-session-0123456789', browserId: 'recorded', userId: 'recorded' }));
  }
  await n8n.executions.update({ executionId: id }, { data: stringify(run) });
  n8n.planted.add('execution_data');
}

// What n8n reads, place by place.
async function* values(n8n, id) {
  const one = async (table, column, key, where, stored) => ({
    table, column, key: key.map(String), path: where, plain: await n8n.decrypt(stored),
    by: n8n.planted.has(table) || n8n.planted.has(key[0]) ? 'cipher' : 'n8n',
  });
  for (const row of await n8n.rows('credentials_entity')) yield await one('credentials_entity', 'data', [row.id], '', row.data);
  for (const user of await n8n.users.find()) {
    if (user.mfaSecret) yield await one('user', 'mfaSecret', [user.id], '', user.mfaSecret);
    for (const [i, code] of (user.mfaRecoveryCodes ?? []).entries()) yield await one('user', 'mfaRecoveryCodes', [user.id], String(i), code);
  }
  const fields = {
    'features.ldap': ['bindingAdminPassword'], 'features.oidc': ['clientSecret'], 'features.saml': ['signingPrivateKey'],
    'features.sourceControl.sshKeys': ['encryptedPrivateKey'],
    'features.sourceControl.httpsCredentials': ['encryptedUsername', 'encryptedPassword'],
    'feature.externalSecrets': [''], credentialsOverwrite: [''],
  };
  for (const { key, value } of await n8n.settings.find()) {
    for (const field of fields[key] ?? []) {
      const stored = field ? JSON.parse(value)[field] : value;
      if (stored) yield await one('settings', 'value', [key], field, stored);
    }
  }
  const cells = [
    ['secrets_provider_connection', 'encryptedSettings', ['id']],
    ['dynamic_credential_resolver', 'config', ['id']],
    ['dynamic_credential_entry', 'data', ['credential_id', 'subject_id', 'resolver_id']],
    ['dynamic_credential_user_entry', 'data', ['credentialId', 'userId', 'resolverId']],
    ['promotion_provider', 'auth', ['id']],
  ];
  for (const [table, column, key] of cells) {
    for (const row of await n8n.rows(table)) yield await one(table, column, key.map((name) => row[name]), '', row[column]);
  }
  const run = parse((await n8n.executions.findOneBy({ executionId: id })).data);
  for (const steps of runPaths) {
    const stored = at(run, steps);
    if (stored) yield await one('execution_data', 'data', [id], steps.join('.'), stored);
  }
}

// The rows of deployment_key in the clear, whatever way the version stores them in.
async function dataKeys(n8n) {
  const open = (row) => {
    const ways = [(v) => n8n.cipher.decryptDEKWithInstanceKey(v), (v) => n8n.cipher.decryptWithInstanceKey(v)];
    if (row.algorithm === null) return row.value;
    for (const way of ways) {
      try {
        const plain = way(row.value);
        if (plain) return plain;
      } catch {} // the next way
    }
    return row.value;
  };
  return (await n8n.rows('deployment_key')).map((row) => ({ id: row.id, type: row.type, algorithm: row.algorithm ?? '', status: row.status, plain: open(row) }));
}

async function record(id) {
  const n8n = new Instance();
  if (!process.env.RECORD_READ) {
    await plantSettings(n8n);
    await plantTables(n8n);
    await plantExecution(n8n, id);
  }
  const out = { values: [], credentials: [], apiKeys: [], dataKeys: await dataKeys(n8n) };
  for await (const value of values(n8n, id)) out.values.push(value);
  for (const row of await n8n.rows('credentials_entity')) {
    out.credentials.push({ id: row.id, name: row.name, type: row.type, data: JSON.parse(await n8n.decrypt(row.data)) });
  }
  out.apiKeys = (await n8n.rows('user_api_keys')).map((row) => ({ id: row.id, label: row.label, raw: row.apiKey }));
  return out;
}

async function tell(id, file) {
  const out = await record(id).catch((error) => ({ error: String(error?.stack ?? error) }));
  fs.writeFileSync(file + '.part', JSON.stringify(out));
  fs.renameSync(file + '.part', file);
}

module.exports = {
  n8n: {
    ready: [
      async () => {
        const { RECORD_GO: go, RECORD_OUT: out } = process.env;
        const timer = setInterval(() => {
          if (!fs.existsSync(go)) return;
          clearInterval(timer);
          tell(fs.readFileSync(go, 'utf8'), out);
        }, 200);
        timer.unref();
      },
    ],
  },
};
