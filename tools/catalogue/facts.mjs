// Writes what an installed n8n says of its credential types, one JSON object per line, sorted by type.
//
//   node tools/catalogue/facts.mjs FOLDER > internal/config/preset/catalogue/facts.jsonl
//
// FOLDER is what tools/n8n/install prints. Only facts are taken: where a credential goes, under which name and in which
// form, where the API and its token endpoint are, and which call tests it. They are found by running n8n's own definitions
// on stand-ins: a field holds its own name in braces, so that what comes out shows where each field went. Nothing here may
// open a connection.
import { createRequire } from 'node:module';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';

const root = process.argv[2];
const refuse = () => { throw new Error('no connections here'); };
net.Socket.prototype.connect = refuse;
net.connect = net.createConnection = tls.connect = globalThis.fetch = refuse;
console.error = console.warn = console.log = () => {};

// Two runs at two times tell what is signed from what is only put somewhere.
let clock = 0;
const RealDate = Date;
globalThis.Date = class extends RealDate {
  constructor(...args) { super(...(args.length ? args : [clock])); }
  static now() { return clock; }
};


const packages = ['n8n-nodes-base', '@n8n/n8n-nodes-langchain'];
const require = createRequire(path.join(root, 'node_modules/n8n/package.json'));
const additional = require(path.join(root, 'node_modules/n8n-nodes-base/dist/nodes/HttpRequest/GenericFunctions.js')).getOAuth2AdditionalParameters;
const classes = new Map(packages.flatMap(load).map((c) => [c.name, c]));

function readJSON(name) { return JSON.parse(fs.readFileSync(path.join(root, name), 'utf8')); }

function load(name) {
  const dir = path.join(root, 'node_modules', name);
  return readJSON(path.join('node_modules', name, 'package.json')).n8n.credentials.map((file) => {
    const exported = require(path.join(dir, file));
    return new exported[path.basename(file).split('.')[0]]();
  });
}

async function describe(c) {
  const chain = ancestors(c);
  const props = properties(c);
  const own = standIns(props, false);
  const usual = standIns(props, true);
  const fact = { type: c.name, title: c.displayName, docs: c.documentationUrl ?? '', class: '' };
  const test = inherited(c, 'test')?.request;
  fact.fields = fields(props);
  fact.class = kindOf(c, chain);
  if (c.authenticate && typeof c.authenticate !== 'function') fact.declared = true;
  const login = await loginOf(c, own);
  if (login) fact.login = login;
  const places = await placesOf(c, own, usual);
  if (places.length) fact.places = places;
  if (fact.class === 'oauth2') fact.oauth2 = { ...grantOf(own, usual), ...besideOf(c) };
  Object.assign(fact, baseOf(c, test, own, usual));
  return fact;
}

function ancestors(c) { return (c.extends ?? []).flatMap((p) => [p, ...(classes.has(p) ? ancestors(classes.get(p)) : [])]); }

function inherited(c, key) {
  if (c[key] !== undefined) return c[key];
  for (const p of c.extends ?? []) {
    const found = classes.has(p) ? inherited(classes.get(p), key) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}

// properties are the type's own and, where it does not say otherwise, its parents'.
function properties(c) {
  const all = new Map();
  for (const p of [...ancestors(c)].reverse()) for (const x of classes.get(p)?.properties ?? []) all.set(x.name, x);
  for (const x of c.properties ?? []) if (x.type !== 'notice' && x.type !== 'button') all.set(x.name, x);
  return [...all.values()].filter((x) => x.type !== 'notice' && x.type !== 'button');
}

function kindOf(c, chain) {
  if (chain.includes('oAuth2Api') || c.name === 'oAuth2Api') return 'oauth2';
  if (chain.includes('oAuth1Api') || c.name === 'oAuth1Api') return 'oauth1';
  if (c.preAuthentication) return 'login';
  if (typeof c.authenticate === 'function') return 'function';
  return c.authenticate ? 'declarative' : 'none';
}

// standIns gives every field a value: what n8n fixes (hidden fields, choices, switches) keeps its own, and what a person
// types is "{name}", or the usual value where n8n suggests an address and usual is asked for.
function standIns(props, usual) {
  const values = {};
  const typed = (x) => x.type === 'string' || x.type === 'json';
  for (const x of props) {
    const fixed = !typed(x) && x.default !== '' && x.default !== undefined;
    const suggested = usual && /^https?:\/\//.test(String(x.default));
    values[x.name] = fixed || suggested ? x.default : `{${x.name}}`;
  }
  for (const [name, value] of Object.entries(values)) values[name] = evaluate(value, values);
  return values;
}

// evaluate resolves "=text {{ expression }}" over stand-ins; null is what cannot be told without real values.
function evaluate(value, values) {
  if (typeof value !== 'string' || !value.startsWith('=')) return value;
  const text = value.slice(1);
  try {
    const parts = [];
    let at = 0;
    for (let open = text.indexOf('{{'); open >= 0; open = text.indexOf('{{', at)) {
      const close = text.indexOf('}}', open);
      parts.push(text.slice(at, open), run(text.slice(open + 2, close), values));
      at = close + 2;
    }
    if (parts.length === 2 && parts[0] === '' && at === text.length) return parts[1];
    return parts.join('') + text.slice(at);
  } catch {
    return null;
  }
}

function run(expression, values) {
  return new Function('$credentials', '$self', '$if', `return (${expression});`)(values, values, (c, a, b) => (c ? a : b));
}

function fields(props) {
  const skip = [
    'allowedHttpRequestDomains', 'allowedDomains', 'grantType', 'authUrl', 'accessTokenUrl', 'authQueryParameters', 'authentication',
    'serverUrl', 'additionalBodyProperties', 'tokenExpiredStatusCode', 'jwksUri', 'enabledScopes',
  ];
  return props
    .filter((x) => !skip.includes(x.name) && x.type !== 'hidden' && x.type !== 'boolean')
    .map((x) => x.name + (x.typeOptions?.password ? '*' : ''));
}

// placesOf says where the fields go: it hands the definition an empty request and looks at what it has become.
async function placesOf(c, own, usual) {
  const how = c.authenticate ?? (ancestors(c).includes('oAuth2Api') ? undefined : inherited(c, 'authenticate'));
  if (!how) return [];
  if (typeof how !== 'function') {
    const p = how.properties ?? {};
    return [
      ...sorted(p.headers).map(([k, v]) => ({ in: 'header', name: String(evaluate(k, own)), format: text(evaluate(v, own)) })),
      ...(p.auth ? [{ in: 'basic', format: pairOf(text(evaluate(p.auth.username, own)), text(evaluate(p.auth.password, own))) }] : []),
      ...sorted(p.qs).map(([k, v]) => ({ in: 'query', name: String(evaluate(k, own)), format: text(evaluate(v, own)) })),
      ...sorted(p.body).map(([k, v]) => ({ in: 'body', name: String(evaluate(k, own)), format: text(evaluate(v, own)) })),
    ].filter((p) => p.format !== '');
  }
  const [first, second] = [await applied(c, how, own, usual, 1e12), await applied(c, how, own, usual, 2e12)];
  if (JSON.stringify(first) === JSON.stringify(second)) return first;
  return first.filter((p) => p.name?.toLowerCase() === 'authorization').map((p) => ({ ...p, name: 'Authorization', format: 'signed' }));
}

async function applied(c, how, own, usual, at) {
  clock = at;
  const base = String(baseOf(c, inherited(c, 'test')?.request, usual, usual).base ?? '');
  const url = base.startsWith('https://') && !/[{}]/.test(base) ? base : 'https://api.example.com/';
  try {
    const done = await how.call(c, { ...own }, { method: 'GET', url, baseURL: url, headers: {}, qs: {} });
    return [
      ...sorted(done.headers).map(([k, v]) => placeOfHeader(k, text(v))),
      ...(done.auth ? [{ in: 'basic', format: pairOf(text(done.auth.username ?? done.auth.user), text(done.auth.password)) }] : []),
      ...sorted(done.qs).map(([k, v]) => ({ in: 'query', name: k, format: text(v) })),
    ].filter((p) => p.format !== '');
  } catch {
    return []; // it asks someone else first
  }
}

const pairOf = (user, password) => `${user}:${password}`;
const sorted = (o) => Object.entries(o ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
const text = (v) => (v === null ? '?' : v === undefined ? '' : String(v));

function placeOfHeader(name, value) {
  const basic = /^Basic ([A-Za-z0-9+/=]+)$/.exec(value);
  if (!basic || name.toLowerCase() !== 'authorization') return { in: 'header', name, format: value };
  return { in: 'basic', format: Buffer.from(basic[1], 'base64').toString('utf8') };
}

// loginOf lets the login call go to a recorder, which answers with whatever is looked up in its answer.
async function loginOf(c, own) {
  if (!c.preAuthentication) return undefined;
  let request;
  const answer = (at) => new Proxy(function () {}, {
    get(_, key) {
      if (key === 'then') return undefined;
      if (key === Symbol.toPrimitive || key === 'toString') return () => `<${at}>`;
      return typeof key === 'string' ? answer(`${at}/${key}`) : undefined;
    },
  });
  const context = { helpers: { httpRequest: async (r) => { request ??= r; return answer(''); } } };
  let got = {};
  try {
    got = await c.preAuthentication.call(context, { ...own });
  } catch { /* what was recorded until then is what there is */ }
  if (!request) return { by: 'code' };
  const url = (request.baseURL ?? '') + request.url;
  const login = { method: request.method ?? 'GET', url, fields: Object.keys(flat(request.body ?? {})).sort() };
  if (request.auth) login.basic = pairOf(request.auth.username, request.auth.password);
  const token = Object.values(got ?? {}).map(String).find((v) => v.startsWith('<'));
  if (token) login.token = token.slice(1, -1);
  return login;
}

function flat(o, at = '') {
  return Object.assign({}, ...Object.entries(o).map(([k, v]) => (v && typeof v === 'object' ? flat(v, `${at}${k}.`) : { [at + k]: v })));
}

function grantOf(own, usual) {
  const at = (v) => text(v) === '{authUrl}' || text(v) === '{accessTokenUrl}' ? '' : text(v);
  const scope = typeof own.scope === 'string' ? own.scope : '';
  const g = { grant: text(own.grantType), authorize: at(own.authUrl), token: at(own.accessTokenUrl) };
  if (at(usual.accessTokenUrl) !== g.token) Object.assign(g, { usual_authorize: at(usual.authUrl), usual_token: at(usual.accessTokenUrl) });
  g.scope = scope === '{scope}' ? '' : scope;
  g.auth = { header: 'basic', body: 'post' }[own.authentication] ?? '';
  const params = text(own.authQueryParameters);
  if (params !== '{authQueryParameters}' && params) g.params = params;
  return g;
}

// besideOf is what n8n keeps not in a type's definition but with its HTTP Request node: a header of its own for the token, other
// statuses than 401 that say that it has expired, and where in the answer the token is. (keepBearer, which
// ClickUp alone has, takes the scheme's name away: preset clickup-oauth2 says so. The others are about n8n's own token call.)
function besideOf(c) {
  const own = additional(c.name);
  const beside = {};
  if (own?.keyToIncludeInAccessTokenHeader) beside.header = own.keyToIncludeInAccessTokenHeader;
  if (own?.tokenExpiredStatusCode) beside.expired = [own.tokenExpiredStatusCode].flat();
  if (own?.property) beside.answer = `/${own.property.replaceAll('.', '/')}`;
  return beside;
}

// baseOf is where the API is: as its users fill it in, and as n8n suggests it.
function baseOf(c, test, own, usual) {
  const node = c.httpRequestNode ?? {};
  const join = (values) => {
    const base = text(evaluate(test?.baseURL ?? '', values));
    const url = text(evaluate(test?.url ?? '', values));
    return { base, url };
  };
  const a = join(own);
  const b = join(usual);
  const out = {};
  const base = a.base || origin(a.url) || node.apiBaseUrl || '';
  const suggested = b.base || origin(b.url) || node.apiBaseUrl || '';
  if (c.name === 'npmApi') return { base }; // its usual address is a package registry's, which this repository does not name
  if (base) out.base = base;
  if (suggested && suggested !== base) out.usual = suggested;
  if (test) out.test = `${test.method ?? 'GET'} ${a.url}`.trim();
  const query = Object.fromEntries(sorted(test?.qs).map(([k, v]) => [k, text(evaluate(v, own))]));
  if (Object.keys(query).length) out.test_query = query;
  return out;
}

function origin(url) { return /^https?:\/\/[^/]+/.exec(url)?.[0] ?? ''; }

const facts = [];
for (const c of classes.values()) facts.push(await describe(c)); // one by one: they share the clock
facts.sort((a, b) => (a.type < b.type ? -1 : 1));
const head = { n8n: readJSON('node_modules/n8n/package.json').version, types: facts.length };
const out = [head, ...facts].map((f) => JSON.stringify(f) + '\n').join('');
process.stdout.write(out, () => process.exit(0)); // some definitions leave timers behind
