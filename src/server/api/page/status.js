'use strict';
/* Asks for /cdc/status.json every 2 s and shows it. Whatever comes from the server becomes text, never
 * markup. What stands on the page is changed in place, so that focus and open lists stay. */
const EVERY_MS = 2000, KEPT = 150, TOKEN = 'milvus-cdc-token', STILL_MS = 10000;
const by = id => document.getElementById(id);
const cards = new Map();   // task id -> its card
let lastGood = 0, timer = 0, answerTo = null;

// ---- making things ----------------------------------------------------------------------------------

function make(tag, cls, text) {
  const e = document.createElement(tag);
  if (cls) e.className = cls;
  if (text !== undefined) e.textContent = text;
  return e;
}
function shape(tag, attributes) {
  const e = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  return e;
}
function say(e, text) { if (e.textContent !== text) e.textContent = text; }
function paint(e, cls) { if (e.className !== cls) e.className = cls; }
/* Makes the children anew only when what they show has changed. */
function fill(e, key, children) {
  const text = JSON.stringify(key);
  if (e.shown === text) return;
  e.shown = text;
  e.replaceChildren(...children());
}
const list = v => Array.isArray(v) ? v : [];
const number = v => typeof v === 'number' && isFinite(v) ? v : null;
const text = v => typeof v === 'string' ? v : v == null ? '' : JSON.stringify(v);

// ---- reading things ---------------------------------------------------------------------------------

function span(ms) {
  if (ms === null) return '–';
  if (ms < 1000) return Math.round(ms) + ' ms';
  if (ms < 120e3) return +(ms / 1000).toFixed(1) + ' s';
  if (ms < 7200e3) return Math.round(ms / 60e3) + ' min';
  return ms < 172800e3 ? +(ms / 3600e3).toFixed(1) + ' h' : Math.round(ms / 86400e3) + ' days';
}
function amount(n) {
  if (n === null) return '–';
  if (n < 10e3) return String(n < 10 ? Math.round(n * 10) / 10 : Math.round(n));
  return n < 10e6 ? (n / 1e3).toFixed(1) + ' k' : (n / 1e6).toFixed(1) + ' M';
}
function bytes(n) {
  if (n === null) return '–';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  for (; n >= 1024 && i < 4; i++) n /= 1024;
  return +n.toFixed(1) + ' ' + units[i];
}
const clock = ms => new Date(ms).toLocaleTimeString([], {hour12: false}) + '.' + String(ms % 1000).padStart(3, '0').slice(0, 1);
const plural = (n, one) => n + ' ' + one + (n === 1 ? '' : 's');

// ---- charts -----------------------------------------------------------------------------------------

function chart(title, unit) {
  const box = make('figure'), head = make('figcaption'), now = make('span');
  const svg = shape('svg', {viewBox: '0 0 300 100', preserveAspectRatio: 'none', role: 'img'});
  const area = shape('path', {class: 'area'}), line = shape('path', {class: 'line'});
  svg.append(shape('path', {class: 'grid', d: 'M0 50H300M0 1H300'}), area, line);
  head.append(make('span', '', title), now);
  box.append(head, svg);
  return {box, update(points) {
    const known = points.filter(p => p.v !== null), most = Math.max(...known.map(p => p.v), 0);
    const top = most || 1, first = known.length ? known[0].t : 0;
    const width = Math.max(known.length ? known[known.length - 1].t - first : 0, 60e3);
    const at = p => ((p.t - first) / width * 300).toFixed(1) + ' ' + (98 - p.v / top * 96).toFixed(1);
    const path = known.map((p, i) => (i ? 'L' : 'M') + at(p)).join('');
    line.setAttribute('d', path);
    area.setAttribute('d', known.length > 1 ? path + 'L' + ((known[known.length - 1].t - first) / width * 300).toFixed(1) + ' 98L0 98Z' : '');
    const last = known.length ? unit(known[known.length - 1].v) : '–';
    say(now, last + ' · top ' + unit(most) + ' · ' + span(width));
    svg.setAttribute('aria-label', title + ': now ' + last + ', highest ' + unit(most));
  }};
}

// ---- a task -----------------------------------------------------------------------------------------

function newCard(id) {
  const c = {id, box: make('article', 'card task'), points: [], facts: {}};
  const head = make('div', 'head');
  c.name = make('h2', '', id);
  c.state = make('span', 'pill');
  c.button = make('button');
  c.button.type = 'button';
  c.button.addEventListener('click', () => ask(c));
  head.append(c.name, c.state, c.button);
  c.target = make('p', 'soft');
  c.reason = make('p', 'why bad');
  c.waits = make('p', 'why');
  c.factBox = make('div', 'facts');
  c.lag = chart('Lag', span);
  c.rate = chart('Throughput', v => amount(v) + ' rows/s');
  const charts = make('div', 'charts');
  charts.append(c.lag.box, c.rate.box);
  c.late = make('div');
  c.ops = make('div');
  c.found = make('div');
  c.more = make('details');
  c.summary = make('summary');
  c.table = make('table');
  c.more.append(c.summary, c.table);
  c.box.append(head, c.target, c.reason, c.waits, c.factBox, charts, c.late, c.ops, c.found, c.more);
  return c;
}

function fact(c, name, value, cls) {
  let f = c.facts[name];
  if (!f) {
    f = c.facts[name] = {box: make('div'), value: make('b')};
    f.box.append(make('span', 'soft', name), f.value);
    c.factBox.append(f.box);
  }
  f.box.hidden = value === null;
  say(f.value, value === null ? '' : value);
  paint(f.value, cls || '');
}

function note(c, t, now) {
  const last = c.points[c.points.length - 1], rows = number(t.rows_written), size = number(t.bytes_written);
  const states = t.collection_states || {}, stopped = states.Failed && !states.Running;
  const p = {t: now, lag: stopped ? null : number(t.lag_ms), rows, size, rate: null, flow: null};
  if (last && now > last.t && rows !== null && last.rows !== null && rows >= last.rows)
    p.rate = (rows - last.rows) * 1000 / (now - last.t);
  if (last && now > last.t && size !== null && last.size !== null && size >= last.size)
    p.flow = (size - last.size) * 1000 / (now - last.t);
  if (t.state === 'Paused') p.rate = 0;
  c.points.push(p);
  if (c.points.length > KEPT) c.points.shift();
  return p;
}

function showTask(c, t, now) {
  const p = note(c, t, now), state = text(t.state), paused = state === 'Paused';
  const states = t.collection_states && typeof t.collection_states === 'object' ? t.collection_states : {};
  const failed = number(states.Failed) || 0, troubled = !paused && (t.waits_for || t.reason || failed);
  say(c.state, state + (failed ? ', ' + failed + ' failed' : troubled ? ', waits' : ''));
  paint(c.state, 'pill ' + (failed ? 'bad' : paused || troubled ? 'wait' : state === 'Running' ? 'good' : 'wait'));
  say(c.button, paused ? 'Resume' : 'Pause');
  c.button.setAttribute('aria-label', (paused ? 'Resume' : 'Pause') + ' task ' + c.id);
  c.paused = paused;
  c.expires = number(t.source_log_expires_s);
  say(c.target, 'to ' + text(t.target) + (t.dry_run ? ', dry run: nothing is written' : ''));
  c.reason.hidden = !t.reason;
  paint(c.reason, paused ? 'why' : 'why bad');
  say(c.reason, text(t.reason));
  c.waits.hidden = !t.waits_for;
  paint(c.waits, failed ? 'why bad' : 'why');
  say(c.waits, (failed ? '' : 'Waits: ') + text(t.waits_for));
  const lag = p.lag, up = number(t.catch_up_s);
  fact(c, 'Lag', lag === null ? 'not known' : span(lag), lag > STILL_MS ? 'wait' : '');
  fact(c, 'Caught up in', failed ? 'not while failed' : up === null ? 'not known' : up ? span(up * 1000) : 'keeps up');
  fact(c, 'Rows behind', paused ? null : amount(number(t.rows_behind)) + ' · ' + bytes(number(t.bytes_behind)));
  fact(c, 'Rows written', paused ? null : amount(number(t.rows_written)));
  fact(c, 'Bytes', p.flow === null ? null : bytes(p.flow) + '/s');
  fact(c, 'Collections', paused ? null : Object.entries(states).map(([k, v]) => v + ' ' + k).join(', ') || '0', failed ? 'bad' : '');
  fact(c, 'Log expires in', c.expires === null ? null : span(c.expires * 1000), c.expires < 86400 ? 'wait' : '');
  c.lag.update(c.points.map(q => ({t: q.t, v: q.lag})));
  c.rate.update(c.points.map(q => ({t: q.t, v: q.rate})));
  showLate(c, list(t.late_streams));
  showOperations(c, list(t.waiting_operations), list(t.skipped_operations), number(t.skipped_operations_total));
  showFindings(c.found, list(t.findings), 'Doctor’s findings');
  showChannels(c, list(t.channels));
}

function bullets(title, lines) {
  const ul = make('ul', 'plain');
  lines.forEach(l => ul.append(make('li', '', l)));
  return [make('h3', '', title), ul];
}

function showLate(c, late) {
  const lines = late.map(l => text(l.collection) + ' (' + text(l.channel) + '): ' + span(number(l.late_ms)) + ' behind its channel');
  fill(c.late, lines, () => lines.length ? bullets('Late streams', lines) : []);
}

function showOperations(c, waiting, skipped, total) {
  const held = waiting.map(o => text(o.operation) + (o.held ? ' is held: ' : ' waits: ') + text(o.reason));
  const left = skipped.map(o => text(o && typeof o === 'object' ? o.text : o));
  fill(c.ops, [held, left, total], () => {
    const parts = held.length ? bullets('Operations that wait', held) : [];
    const title = 'Unreplicated operations (' + (total === null ? left.length : total) + (total > left.length ? ', the last ' + left.length : '') + ')';
    return left.length ? parts.concat(bullets(title, left.reverse())) : parts;
  });
}

function finding(f) {
  const li = make('li', f.severity === 'error' || f.severity === 'warning' ? f.severity : '');
  const head = make('div');
  head.append(make('b', f.severity === 'error' ? 'bad' : f.severity === 'warning' ? 'wait' : '', text(f.severity)),
    ' ' + text(f.code) + ' ', make('span', 'soft', text(f.subject)));
  li.append(head, make('div', '', text(f.seen)), make('div', 'soft', text(f.means)), make('div', '', 'Fix: ' + text(f.fix)));
  return li;
}

const WORST_FIRST = ['error', 'warning', 'note'];

function showFindings(box, found, title) {
  const rank = f => (WORST_FIRST.indexOf(f && f.severity) + 4) % 4;
  found = found.filter(f => f && typeof f === 'object').sort((a, b) => rank(a) - rank(b));
  fill(box, found, () => {
    if (!found.length) return [];
    const ul = make('ul', 'findings');
    found.forEach(f => ul.append(finding(f)));
    return title ? [make('h3', '', title), ul] : [...ul.children];
  });
}

const COLUMNS = ['Channel', 'Source head', 'Read', 'Acknowledged'];

function showChannels(c, channels) {
  c.more.hidden = !channels.length;
  say(c.summary, plural(channels.length, 'channel') + ': source head, read, acknowledged');
  if (c.table.rows.length !== channels.length + 1) {
    const head = make('thead'), row = make('tr'), body = make('tbody');
    COLUMNS.forEach(name => row.append(make('th', '', name)));
    head.append(row);
    channels.forEach(() => {
      const tr = make('tr');
      COLUMNS.forEach((name, i) => { const td = make('td', i ? 'n' : ''); td.dataset.label = name; tr.append(td); });
      body.append(tr);
    });
    c.table.replaceChildren(head, body);
  }
  channels.forEach((ch, i) => {
    const cells = c.table.tBodies[0].rows[i].cells;
    const head = number(ch.head_ms), read = number(ch.read_ms), acked = number(ch.acked_ms), late = number(ch.late_ms);
    const behind = v => v === null ? '–' : head === null ? clock(v) : v >= head ? 'all of it' : span(head - v) + ' behind';
    say(cells[0], text(ch.source) + ' → ' + text(ch.target) + (ch.streams > 1 ? ', ' + ch.streams + ' streams' : '') + (late ? ', late' : ''));
    say(cells[1], head === null ? 'not known' : (ch.read_to_end ? '' : 'about ') + clock(head));
    say(cells[2], behind(read));
    say(cells[3], behind(acked));
  });
}

// ---- the whole --------------------------------------------------------------------------------------

function tile(box, name, value, cls) {
  let t = box.querySelector('[data-name="' + name + '"]');
  if (!t) {
    t = make('div', 'tile');
    t.dataset.name = name;
    t.append(make('span', 'soft', name), make('b'));
    box.append(t);
  }
  say(t.lastChild, value);
  paint(t.lastChild, cls || '');
}

function show(s) {
  const tasks = list(s.tasks), now = number(s.time_ms) || Date.now(), seen = new Set();
  say(by('version'), text(s.version) + (s.dry_run ? ' (dry run)' : ''));
  for (const t of tasks) {
    const id = text(t.task_id);
    seen.add(id);
    if (!cards.has(id)) cards.set(id, newCard(id));
    const c = cards.get(id);
    if (!c.box.isConnected) by('tasks').append(c.box);
    showTask(c, t, now);
  }
  for (const [id, c] of cards)
    if (!seen.has(id)) { c.box.remove(); cards.delete(id); }
  by('none').hidden = tasks.length > 0;
  const running = tasks.filter(t => t.state === 'Running'), lags = running.map(t => number(t.lag_ms)).filter(v => v !== null);
  const rates = [...cards.values()].map(c => c.points[c.points.length - 1].rate).filter(r => r !== null);
  const tiles = by('tiles');
  tile(tiles, 'Tasks', running.length + ' running' + (tasks.length > running.length ? ', ' + (tasks.length - running.length) + ' not' : ''), '');
  tile(tiles, 'Largest lag', lags.length ? span(Math.max(...lags)) : '–', Math.max(...lags, 0) > STILL_MS ? 'wait' : 'good');
  tile(tiles, 'Rows/s', rates.length ? amount(rates.reduce((a, b) => a + b, 0)) : '–');
  tile(tiles, 'Memory held', bytes(number(s.held_bytes)) + ' of ' + bytes(number(s.memory_budget_bytes)));
  tile(tiles, 'Up for', span((number(s.uptime_s) || 0) * 1000));
  const peer = (name, p) => p && typeof p === 'object' ? name + ' ' + Object.values(p).filter(v => v !== '').map(text).join(', ') : '';
  say(by('peers'), [peer('Source', s.source), peer('metastore', s.store)].filter(Boolean).join(' · '));
}

// ---- asking the server ------------------------------------------------------------------------------

class TokenNeeded extends Error {}

async function call(path, body) {
  const token = sessionStorage.getItem(TOKEN), headers = {'X-Requested-With': 'milvus-cdc'};
  if (token) headers.Authorization = 'Bearer ' + token;
  if (body) headers['Content-Type'] = 'application/json';
  const r = await fetch(path, {method: body ? 'POST' : 'GET', body: body && JSON.stringify(body), headers, cache: 'no-store'});
  if (r.status === 401) {
    login(token ? 'The server does not know this token.' : '');
    throw new TokenNeeded('a token is needed');
  }
  return r;
}

async function request(type, data) {
  const r = await call('/cdc', {request_type: type, request_data: data});
  const answer = await r.json();
  if (answer.code !== 200) throw new Error(text(answer.message));
  return answer.data || {};
}

function login(why) {
  by('main').hidden = true;
  if (by('login').hidden) {
    by('login').hidden = false;
    by('token').focus();
  }
  say(by('login-why'), why);
  say(by('link'), 'token needed');
  paint(by('link'), 'pill wait');
}

async function look() {
  clearTimeout(timer);
  try {
    const r = await call('/cdc/status.json');
    if (!r.ok) throw new Error('status ' + r.status);
    const s = await r.json();
    by('login').hidden = true;
    by('main').hidden = false;
    by('forget').hidden = !sessionStorage.getItem(TOKEN);
    show(s);
    lastGood = Date.now();
    say(by('link'), 'live');
    paint(by('link'), 'pill good');
  } catch (e) {
    if (e instanceof TokenNeeded) return;   // it goes on with one
    say(by('link'), lastGood ? 'no answer for ' + span(Date.now() - lastGood) : 'no answer');
    paint(by('link'), 'pill bad');
  }
  if (!document.hidden) timer = setTimeout(look, EVERY_MS);
}

// ---- pause and resume -------------------------------------------------------------------------------

function ask(c) {
  answerTo = c;
  const verb = c.paused ? 'Resume' : 'Pause';
  say(by('ask-title'), verb + ' ' + c.id + '?');
  say(by('ask-text'), c.paused
    ? 'It goes on where it stopped. Nothing is lost and nothing doubled.'
    : 'Nothing more is written to its target until it is resumed, also over a restart. Queries there go on.'
      + (c.expires === null ? ' The source’s queue must keep what is not read meanwhile.'
        : ' The source’s queue keeps what is not read for ' + span(c.expires * 1000) + '.'));
  say(by('ask-why'), '');
  say(by('ask-yes'), verb);
  by('ask-yes').disabled = false;
  by('ask').showModal();
  by('ask-no').focus();
}

async function answered() {
  const c = answerTo, type = c.paused ? 'resume' : 'pause';
  by('ask-yes').disabled = true;
  try {
    await request(type, {task_id: c.id});
    by('ask').close();
    say(by('said'), 'Task ' + c.id + ' is ' + (type === 'pause' ? 'paused.' : 'running.'));
    look();
  } catch (e) {
    say(by('ask-why'), e.message);
    by('ask-yes').disabled = false;
    if (e instanceof TokenNeeded) by('ask').close();
  }
}

async function doctor() {
  by('look').disabled = true;
  say(by('doctor-note'), 'Looking ...');
  try {
    const d = await request('doctor', {});
    const n = k => number(d[k]) || 0;
    showFindings(by('doctor'), list(d.findings), '');
    say(by('doctor-note'), plural(n('errors'), 'error') + ', ' + plural(n('warnings'), 'warning') + ', ' + plural(n('notes'), 'note')
      + '; ' + list(d.in_order).length + ' in order. Looked at ' + new Date().toLocaleTimeString([], {hour12: false}) + '.');
  } catch (e) {
    say(by('doctor-note'), 'The doctor could not look: ' + e.message);
  }
  by('look').disabled = false;
}

by('ask-no').addEventListener('click', () => by('ask').close());
by('ask-yes').addEventListener('click', answered);
by('ask').addEventListener('close', () => { if (answerTo && answerTo.box.isConnected) answerTo.button.focus(); });
by('look').addEventListener('click', doctor);
by('forget').addEventListener('click', () => { sessionStorage.removeItem(TOKEN); by('forget').hidden = true; look(); });
by('login').addEventListener('submit', e => {
  e.preventDefault();
  sessionStorage.setItem(TOKEN, by('token').value.trim());
  by('token').value = '';
  look();
});
document.addEventListener('visibilitychange', () => { if (!document.hidden) look(); });
look();
