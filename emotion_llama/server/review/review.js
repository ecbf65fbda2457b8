// The review page. Texts of records reach the page as text nodes only, never as markup.
"use strict";

const KINDS = { facial: "Face", scene: "Scene", voice: "Voice", words: "Words" };
const MARKS = { accept: "✓", edit: "✎", reject: "✕" };
const DONE = { accept: "Accepted", edit: "Edited", reject: "Rejected", withdraw: "Taken back:" };
const OUTCOMES = { passed: ["✓ passed", "good"], failed: ["✕ failed", "bad"], unknown: ["? unknown", "open"] };
const AGREEMENTS = {
  agrees: ["✓ agrees with the label", "good"],
  disagrees: ["✕ disagrees with the label", "bad"],
  abstains: ["? cannot say", "open"],
  unmapped: ["? no rule for the label", "open"],
};
const FIELDS = {
  label: "Label",
  coarse_caption: "Coarse caption",
  evidence: "Fine caption: evidence (names no label)",
  conclusion: "Fine caption: conclusion (names the label)",
};

const page = {
  state: null, // of the data set
  items: [], // the queue as it was when it was asked for
  numLeft: 0,
  shown: null, // the record on screen
  isEditing: false,
  last: null, // the decision that `u` takes back
  isSending: false,
  load: 0, // number of the record asked for last
};

const at = (id) => document.getElementById(id);

function make(tag, settings = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(settings)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

const card = (title, ...children) => make("section", { class: "card" }, make("h2", {}, title), ...children);
const pill = (text, kind) => make("span", { class: `pill ${kind}` }, text);

function facts(pairs) {
  const rows = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return make("dl", { class: "facts-list" }, rows.map(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]).flat());
}

function number(value, digits = 3) {
  return value === null || value === undefined ? "not measured" : String(Number(value.toPrecision(digits)));
}

const share = (value) => (value === null || value === undefined ? "not measured" : `${(100 * value).toFixed(0)} %`);
const seconds = (value) => `${value.toFixed(2)} s`;

async function ask(address, settings) {
  let answer;
  try {
    answer = await fetch(address, settings);
  } catch {
    throw new Error("The server does not answer; is the command still running?");
  }
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    const detail = Array.isArray(body.detail) ? body.detail : [body.detail || `The server answered ${answer.status}.`];
    throw Object.assign(new Error(detail.join("; ")), { faults: detail });
  }
  return body;
}

const query = (values) => new URLSearchParams(Object.entries(values).filter(([, value]) => value !== "" && value !== null)).toString();
const reviewer = () => (page.state && page.state.reviewer) || at("reviewer").value.trim();

// ---- the data set

async function loadState() {
  page.state = await ask(`/api/state?${query({ reviewer: reviewer() })}`);
  const { state } = page;
  document.title = `Review: ${state.dataset}`;
  at("dataset").textContent = state.dataset;
  if (state.reviewer) {
    at("reviewer").value = state.reviewer;
    at("reviewer").readOnly = true;
  }
  const choice = at("filters").elements.label;
  const chosen = choice.value;
  choice.replaceChildren(
    make("option", { value: "" }, "any"),
    ...Object.entries(state.label_counts).map(([label, count]) => make("option", { value: label }, `${label} (${count})`)),
  );
  choice.value = chosen;
  at("notices").replaceChildren(...state.notices.map((text) => make("p", {}, text)));
  showProgress(state.progress);
  const words = { keep: "keep or reject", label: "label" };
  const measured = Object.entries(state.agreement).filter(([, one]) => one.num_items > 0);
  at("agreement").textContent = measured.length
    ? "Reviewers' agreement (Krippendorff's alpha): " +
      measured.map(([name, one]) => `${words[name]} ${one.value === null ? `undefined, ${one.why}` : one.value.toFixed(2)} (${one.num_items} ${one.num_items === 1 ? "record" : "records"})`).join("; ")
    : "";
}

function showProgress(progress) {
  const mine = progress.by_reviewer || 0;
  at("progress").max = Math.max(progress.records || 0, 1);
  at("progress").value = mine;
  at("progress-text").textContent = `${mine} of ${progress.records || 0} by you, ${progress.by_anybody || 0} by anybody`;
}

// ---- the queue

function wanted() {
  const { state, status, label, text } = at("filters").elements;
  return { state: state.value, status: status.value, label: label.value, text: text.value.trim() };
}

async function loadQueue() {
  const answer = await ask(`/api/queue?${query({ reviewer: reviewer(), ...wanted() })}`);
  page.items = answer.items;
  page.numLeft = answer.num_left;
  at("total").textContent = `${answer.total} ${answer.total === 1 ? "record" : "records"}, most in need first`;
  showQueue();
  const there = page.items.find((item) => page.shown && item.clip_id === page.shown.record.clip_id);
  if (there) return;
  if (page.items.length) await openRecord(page.items[0].clip_id);
  else showNothing();
}

async function loadMore() {
  const last = page.items[page.items.length - 1];
  const answer = await ask(`/api/queue?${query({ reviewer: reviewer(), ...wanted(), after: last.clip_id })}`);
  const known = new Set(page.items.map((item) => item.clip_id));
  page.items.push(...answer.items.filter((item) => !known.has(item.clip_id)));
  page.numLeft = answer.num_left;
  showQueue();
}

function showQueue() {
  const current = page.shown && page.shown.record.clip_id;
  at("items").replaceChildren(
    ...page.items.map((item) => {
      const mark = item.is_stale ? "↺" : MARKS[item.decision] || "";
      return make("li", {},
        make("button", {
          type: "button", class: item.status === "rejected" ? "rejected" : null, "aria-current": item.clip_id === current ? "true" : null,
          onclick: () => openRecord(item.clip_id),
          title: item.is_stale ? "rebuilt since your decision" : item.clip_id,
        },
        make("span", { class: { accept: "good", edit: "info", reject: "bad" }[item.decision] || "open" }, mark),
        // the end of a long path says more than its beginning
        make("bdi", { class: "name" }, make("bdi", {}, item.clip_id)),
        make("span", { class: "label" }, item.label || "no label"),
        item.why.length && !item.decision ? make("span", { class: "need" }, item.why[0]) : null));
    }),
  );
  at("more").hidden = page.numLeft === 0;
  at("more").textContent = `More (${page.numLeft})`;
}

function showNothing() {
  page.shown = null;
  at("decision").hidden = true;
  at("record").replaceChildren(make("p", { class: "message" }, "No record fits the filters."));
}

async function step(by) {
  const index = page.items.findIndex((item) => page.shown && item.clip_id === page.shown.record.clip_id);
  if (by > 0 && index === page.items.length - 1 && page.numLeft > 0) await loadMore();
  const next = page.items[index + by];
  if (next) await openRecord(next.clip_id);
  else toast(by > 0 ? "This is the last record of the queue" : "This is the first record of the queue");
}

async function nextOpen() {
  const index = page.items.findIndex((item) => page.shown && item.clip_id === page.shown.record.clip_id);
  const next = page.items.slice(index + 1).find((item) => !item.decision);
  if (next) return openRecord(next.clip_id);
  if (page.numLeft > 0) {
    await loadMore();
    return nextOpen();
  }
  return openRecord(page.shown.record.clip_id);
}

// ---- one record

async function openRecord(clipId) {
  const load = ++page.load;
  const shown = await ask(`/api/record?${query({ clip: clipId, reviewer: reviewer() })}`);
  if (load !== page.load) return; // another was asked for meanwhile
  page.shown = shown;
  page.isEditing = false;
  at("comment").value = shown.own ? shown.own.comment : "";
  showRecord();
  showQueue();
  const current = document.querySelector("#items [aria-current]");
  if (current) current.scrollIntoView({ block: "nearest" });
  at("queue").classList.remove("shown");
  at("toggle-queue").setAttribute("aria-expanded", "false");
  window.scrollTo(0, 0);
  checkMedia(clipId, load);
}

function showRecord() {
  const { record } = page.shown;
  at("record").replaceChildren(
    headOf(page.shown),
    ...messagesOf(page.shown),
    make("div", { class: "columns" },
      make("div", { class: "column" }, mediaOf(page.shown), cluesOf(record), wordsOf(record)),
      make("div", { class: "column" }, page.isEditing ? editorOf(record) : captionsOf(record), labelsOf(record), verdictOf(record), unitsOf(record),
        gatesOf(record), reviewsOf(page.shown), provenanceOf(page.shown))),
  );
  at("decision").hidden = false;
  at("deciding").hidden = page.isEditing;
  at("editing").hidden = !page.isEditing;
  const own = page.shown.own && page.shown.own.decision;
  for (const button of at("deciding").children) button.classList.toggle("chosen", button.dataset.do === own);
  showFaults([]);
}

function headOf({ record, why, own }) {
  const isKept = record.status === "kept";
  return make("div", { class: "head" },
    make("h2", {}, record.clip_id),
    pill(isKept ? "kept" : "rejected", isKept ? "good" : "bad"),
    record.split ? pill(record.split, "info") : null,
    own ? pill(`${MARKS[own.decision]} your decision: ${own.decision}`, "info") : null,
    why.length ? make("p", { class: "why" }, `Look here: ${why.join("; ")}`) : null);
}

function messagesOf({ record, stale }) {
  const messages = stale.map((old) =>
    make("div", { class: "message" },
      make("p", {}, `${old.reviewer} decided “${old.decision}” on an earlier state of this record (${old.time}). It was built anew since, so that decision does not count.`),
      old.comment ? make("p", {}, `Comment: ${old.comment}`) : null,
      ...Object.entries(old.edits).filter(([, value]) => value !== null).map(([name, value]) => make("p", {}, `${FIELDS[name]}: ${value}`))));
  if (record.reasons.length) {
    messages.push(make("div", { class: "message bad" },
      make("p", {}, "Rejected, because:"),
      make("ul", {}, record.reasons.map((reason) => make("li", {}, `• ${reason}`))),
      make("p", { class: "faint" }, "Accept or edit keeps it after all.")));
  }
  return messages;
}

function mediaOf({ record, media }) {
  if (!media.kind) return make("section", { class: "card media" }, make("p", { class: "none" }, `No clip: ${media.why}`));
  const address = `/media?${query({ clip: record.clip_id })}`;
  const failed = () => player.replaceWith(make("p", { class: "none" }, `This browser cannot play ${media.media_type}; open ${record.path} in another program.`));
  const player = media.kind === "image"
    ? make("img", { src: address, alt: "the picture of the record", id: "player", onerror: failed })
    : make(media.kind, { src: address, controls: true, preload: "metadata", id: "player", playsinline: true, onerror: failed, ontimeupdate: followTime });
  return make("section", { class: "card media" }, player, ...(media.kind === "image" ? [] : [trackOf(record), noteOf(record)]), make("div", { id: "media-notice" }));
}

function trackOf(record) {
  const length = record.duration_s;
  const track = make("div", { class: "track", title: "click to seek" });
  if (!length) return track;
  const place = (element, from, to) => {
    element.style.left = `${(100 * Math.max(from, 0)) / length}%`;
    if (to !== undefined) element.style.width = `${(100 * Math.max(Math.min(to, length) - from, 0)) / length}%`;
    return element;
  };
  const lanes = Object.keys(KINDS);
  for (const clue of record.clues) {
    if (clue.start_s === null) continue;
    const mark = make("span", { class: clue.kind, title: clue.statement });
    mark.style.top = `${3 + 6.5 * lanes.indexOf(clue.kind)}px`;
    track.append(place(mark, clue.start_s, clue.end_s === null ? clue.start_s : clue.end_s));
  }
  if (record.face && record.face.peak_s !== null) track.append(place(make("span", { class: "peak", title: "peak frame" }), record.face.peak_s));
  track.append(place(make("span", { class: "head-line", id: "head-line" }), 0));
  track.addEventListener("click", (event) => {
    const box = track.getBoundingClientRect();
    seek((length * (event.clientX - box.left)) / box.width);
  });
  return track;
}

function noteOf(record) {
  const peak = record.face && record.face.peak_s;
  return make("div", { class: "track-note" },
    make("span", {}, record.duration_s ? `0 to ${seconds(record.duration_s)}` : "length unknown"),
    peak === null || peak === undefined ? make("span", {}, "no peak frame") : make("button", { type: "button", class: "quiet", onclick: () => seek(peak) }, `Peak ${seconds(peak)}`));
}

function seek(time) {
  const player = at("player");
  if (player && "currentTime" in player) player.currentTime = Math.max(time, 0);
}

function followTime() {
  const { record } = page.shown;
  const time = at("player").currentTime;
  const line = at("head-line");
  if (line && record.duration_s) line.style.left = `${Math.min(100, (100 * time) / record.duration_s)}%`;
  for (const row of document.querySelectorAll(".clue[data-from]")) {
    row.classList.toggle("now", time >= Number(row.dataset.from) - 0.02 && time <= Number(row.dataset.to) + 0.02);
  }
}

async function checkMedia(clipId, load) {
  if (!page.shown.media.kind) return;
  const { is_recorded: isRecorded } = await ask(`/api/media?${query({ clip: clipId })}`).catch(() => ({ is_recorded: null }));
  if (load !== page.load || isRecorded !== false || !at("media-notice")) return;
  at("media-notice").replaceChildren(make("p", { class: "message bad" }, "This file is not the one that was annotated: its bytes differ from those that the record names."));
}

function cluesOf(record) {
  const groups = Object.entries(KINDS).map(([kind, title]) => {
    const clues = record.clues.filter((clue) => clue.kind === kind);
    const missing = record.missing[kind];
    if (!clues.length && !missing) return null;
    return make("div", { class: `clues ${kind}` }, make("h3", {}, title), clues.length ? clues.map(clueRow) : make("p", { class: "faint" }, `none: ${missing}`));
  });
  return card("Clues", groups.some(Boolean) ? groups : make("p", { class: "faint" }, "none"));
}

function clueRow(clue) {
  const hasTime = clue.start_s !== null;
  const value = clue.value === null ? "" : `, ${number(clue.value)}`;
  const end = clue.end_s === null ? clue.start_s : clue.end_s;
  const time = !hasTime ? null : end > clue.start_s ? `${clue.start_s.toFixed(2)}–${seconds(end)}` : seconds(clue.start_s);
  return make(hasTime ? "button" : "div",
    { class: "clue", type: hasTime ? "button" : null, "data-from": hasTime ? clue.start_s : null, "data-to": hasTime ? end : null, onclick: hasTime ? () => seek(clue.start_s) : null },
    make("span", {}, clue.statement), make("span", { class: "time" }, time || ""), make("span", { class: "facts" }, `${clue.feature}: ${clue.reading}${value}`));
}

function wordsOf(record) {
  const described = [["Scene, by a model", record.scene_description], ["Voice", record.voice_description]].filter(([, text]) => text);
  return card("Words and descriptions",
    record.transcript ? make("blockquote", { lang: record.source.language }, record.transcript) : make("p", { class: "faint" }, `no transcript${record.missing.transcript ? `: ${record.missing.transcript}` : ""}`),
    ...described.map(([title, text]) => [make("p", { class: "caption-part" }, title), make("p", {}, text)]).flat());
}

function captionsOf(record) {
  const fine = record.fine_caption;
  const part = (title, text, why) => [make("p", { class: "caption-part" }, title), text ? make("p", {}, text) : make("p", { class: "faint" }, `none${why ? `: ${why}` : ""}`)];
  const why = record.missing.fine_caption;
  return card("Captions",
    part("Coarse", record.coarse_caption, record.missing.coarse_caption),
    part("Fine: evidence", fine && fine.evidence, why),
    part("Fine: conclusion", fine && fine.conclusion, why),
    fine ? facts([
      ["speaks for the label", fine.supports.join(", ")],
      ["speaks against it", fine.contradicts.join(", ")],
      ["evidence written", fine.label_conditioned ? "with the label known" : "without the label"],
    ]) : null);
}

function valuesOf(record) {
  const fine = record.fine_caption;
  return { label: record.label || "", coarse_caption: record.coarse_caption || "", evidence: fine ? fine.evidence : "", conclusion: fine ? fine.conclusion : "" };
}

function editorOf(record) {
  const before = valuesOf(record);
  const start = { ...before };
  const own = page.shown.own;
  if (own) for (const [name, value] of Object.entries(own.edits)) if (value !== null) start[name] = value;
  const rows = Object.entries(FIELDS).map(([name, title]) => {
    const field = name === "label"
      ? make("select", { "data-field": name }, record.label ? null : make("option", { value: "" }, "no label"), page.state.labels.map((label) => make("option", { value: label }, label)))
      : make("textarea", { "data-field": name, rows: 4 });
    field.value = start[name];
    const row = make("label", { class: "field" }, title, field);
    const mark = () => row.classList.toggle("changed", field.value !== before[name]);
    field.addEventListener("input", mark);
    mark();
    return row;
  });
  return card("Edit", ...rows, make("p", { class: "faint" }, "Changed fields are marked. What was built stays in the data set; edits are laid over it."));
}

function editsMade() {
  const before = valuesOf(page.shown.record);
  const edits = {};
  for (const field of document.querySelectorAll("[data-field]")) {
    if (field.value.trim() !== before[field.dataset.field].trim()) edits[field.dataset.field] = field.value;
  }
  return edits;
}

function labelsOf(record) {
  const kinds = { human: "a person", model: "a model", rule: "a rule table" };
  return card("Labels",
    record.labels.length ? record.labels.map((one, index) => {
      const sure = one.probabilities && one.probabilities[one.label];
      return make("p", { class: "label-line" }, make(index ? "span" : "b", {}, one.label),
        make("span", { class: "faint" }, `by ${kinds[one.kind]}: ${one.producer} ${one.version}${sure === null || sure === undefined ? "" : `, probability ${number(sure)}`}`));
    }) : make("p", { class: "faint" }, "none was given"));
}

function bar(value, full, kind = "") {
  if (value === null || value === undefined) return make("span", { class: "bar unknown" });
  const inside = make("i");
  inside.style.width = `${Math.max(0, Math.min(100, (100 * value) / full))}%`;
  return make("span", { class: `bar ${kind}` }, inside);
}

function verdictOf(record) {
  const verdict = record.verdict;
  if (!verdict) return card("Rules", make("p", { class: "faint" }, `no verdict${record.missing.verdict ? `: ${record.missing.verdict}` : ""}`));
  const shares = Object.entries(verdict.distribution).sort((a, b) => b[1] - a[1]);
  return card(`Rules: table ${verdict.table}`,
    make("p", {}, verdict.agreement ? pill(...AGREEMENTS[verdict.agreement]) : pill("no label to agree with", "open"), verdict.abstains ? ` abstains: ${verdict.why || "no reason given"}` : null),
    shares.length ? make("div", { class: "bars" }, shares.map(([label, value]) => [
      make("span", {}, label), bar(value, 1), make("span", { class: "number" }, `${share(value)}  ${(verdict.fired[label] || []).join(" ")}`)]).flat()) : null,
    facts([["margin", verdict.margin === null ? null : number(verdict.margin)], ["undecided", verdict.unknown.join(", ")]]));
}

function unitsOf(record) {
  const { face } = record;
  if (!face) return card("Action units at the peak", make("p", { class: "faint" }, `none: ${record.missing.face || record.missing.facial || "no face was measured"}`));
  const full = face.scale === "0-5" ? 5 : 1;
  const names = page.state.unit_names;
  return card("Action units at the peak",
    make("div", { class: "bars" }, face.units.map((one) => [
      make("span", { title: `confidence ${number(one.confidence, 2)}` }, `${one.unit} ${names[one.unit] || ""}`),
      bar(one.intensity, full, one.is_present ? "" : "absent"),
      make("span", { class: "number" }, `${one.intensity === null ? "not measured" : one.intensity.toFixed(2)} ${one.is_present === null ? "?" : one.is_present ? "✓" : "–"}`)]).flat()),
    make("p", { class: "faint" }, `✓ present, – absent, ? unknown. ${face.scale ? `Scale ${face.scale}` : "Only presence is known"}${face.scope ? `, relative to ${{ clip: "the person's own calm face", population: "the mean of many people", producer: "what the table's program used" }[face.scope]}` : ""}.`),
    facts([
      ["peak frame", face.peak_frame === null ? null : `${face.peak_frame}${face.peak_reading ? ` (${face.peak_reading})` : ""}`],
      ["face seen in", face.coverage === null ? null : share(face.coverage)],
      ["talking", face.talking === null ? null : face.talking ? "yes" : "no"],
    ]));
}

function gatesOf(record) {
  if (!record.gates.length) return card("Gates", make("p", { class: "faint" }, "none"));
  return card("Gates", make("ul", { class: "gates" }, record.gates.map((gate) =>
    make("li", {}, make("span", { class: OUTCOMES[gate.outcome][1] }, OUTCOMES[gate.outcome][0]), make("span", {}, gate.name), make("span", {}, gate.why)))));
}

function reviewsOf({ others, num_others: numOthers }) {
  if (!numOthers) return null;
  if (!others) return card("Other reviewers", make("p", { class: "faint" }, `${numOthers} decided; shown after your own decision, so that each judges alone`));
  return card("Other reviewers", make("ul", { class: "reviews" }, others.map((one) =>
    make("li", {}, make("b", {}, `${MARKS[one.decision]} ${one.reviewer}: ${one.decision}`), one.comment ? ` “${one.comment}”` : "",
      facts(Object.entries(one.edits).map(([name, value]) => [FIELDS[name], value]))))));
}

function provenanceOf({ record, sha256 }) {
  const origins = Object.entries(record.lineage).map(([name, one]) => [name, `${one.producer} ${one.version}`]);
  return make("details", { class: "card" }, make("summary", {}, "Source, what is missing, where each field comes from"),
    facts([
      ["file", record.path], ["record", sha256.slice(0, 16)], ["source", record.source.name], ["licence", record.source.licence || "not stated"],
      ["speaker", record.source.speaker], ["language", record.source.language], ["group", record.source.group],
      ...Object.entries(record.missing).map(([name, why]) => [`missing: ${name}`, why]),
      ...record.notes.map((note) => ["note", note]), ...origins,
    ]));
}

// ---- deciding

async function decide(decision, edits = {}) {
  if (!page.shown || page.isSending) return;
  if (!reviewer()) {
    at("reviewer").classList.add("wanted");
    at("reviewer").focus();
    showFaults(["Write your name first: decisions are stored with it."]);
    return;
  }
  const { record, sha256 } = page.shown;
  let answer;
  page.isSending = true; // a key pressed twice is one decision
  try {
    answer = await ask("/api/reviews", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ clip_id: record.clip_id, record_sha256: sha256, reviewer: reviewer(), decision, edits, comment: decision === "withdraw" ? "" : at("comment").value }),
    });
  } catch (error) {
    showFaults(error.faults || [error.message]);
    return;
  } finally {
    page.isSending = false;
  }
  const item = page.items.find((one) => one.clip_id === record.clip_id);
  if (item) Object.assign(item, { decision: decision === "withdraw" ? null : decision, is_stale: false });
  showProgress(answer.progress);
  page.last = decision === "withdraw" ? null : record.clip_id;
  document.activeElement.blur();
  if (decision === "withdraw") await openRecord(record.clip_id);
  else await nextOpen();
  toast(`${DONE[decision]} ${record.clip_id}`);
}

async function takeBack() {
  if (page.last && (!page.shown || page.shown.record.clip_id !== page.last)) await openRecord(page.last);
  if (page.shown && page.shown.own) await decide("withdraw");
  else toast("There is no decision of yours to take back");
}

function reject() {
  if (at("comment").value.trim()) return decide("reject");
  showFaults(["A rejection needs a comment: write why, then press Enter."]);
  at("comment").dataset.rejects = "yes";
  return at("comment").focus();
}

function edit(isEditing) {
  if (!page.shown) return;
  page.isEditing = isEditing;
  showRecord();
  const field = document.querySelector("textarea[data-field]");
  if (!field) return;
  field.focus();
  field.setSelectionRange(0, 0);
}

const ACTIONS = {
  accept: () => decide("accept"),
  edit: () => edit(true),
  reject,
  cancel: () => edit(false),
  save: () => decide("edit", editsMade()),
};

function showFaults(faults) {
  at("faults").replaceChildren(...faults.map((text) => make("li", {}, text)));
}

function toast(text) {
  at("toast").textContent = text;
  at("toast").classList.add("shown");
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => at("toast").classList.remove("shown"), 2600);
}

// ---- keys

function nudge(by) {
  const player = at("player");
  if (player && "currentTime" in player) player.currentTime = Math.max(0, player.currentTime + by);
}

function playOrPause() {
  const player = at("player");
  if (player && player.play) player.paused ? player.play() : player.pause();
}

const KEYS = {
  a: () => decide("accept"),
  r: reject,
  e: () => edit(true),
  u: takeBack,
  j: () => step(1),
  k: () => step(-1),
  c: () => at("comment").focus(),
  p: playOrPause,
  "?": () => at("help").showModal(),
  ArrowLeft: () => nudge(-0.5),
  ArrowRight: () => nudge(0.5),
};

function onKey(event) {
  if (at("help").open) return;
  if (page.isEditing) {
    if (event.key === "Escape") edit(false);
    else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) guarded(ACTIONS.save)();
    else return;
    event.preventDefault();
    return;
  }
  const isTyping = event.target.closest("input, textarea, select");
  if (isTyping) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const run = KEYS[event.key];
  if (!run || (event.key.startsWith("Arrow") && event.target.closest("video, audio"))) return;
  event.preventDefault();
  guarded(run)();
}

// What goes wrong is said, not swallowed.
const guarded = (run) => async (...given) => {
  try {
    await run(...given);
  } catch (error) {
    toast(error.message);
  }
};

function stored(name) {
  try {
    return localStorage.getItem(name) || "";
  } catch {
    return "";
  }
}

function start() {
  at("reviewer").value = stored("reviewer");
  at("reviewer").addEventListener("change", guarded(async () => {
    at("reviewer").classList.remove("wanted");
    try {
      localStorage.setItem("reviewer", reviewer());
    } catch {
      // a browser that stores nothing asks again next time
    }
    await loadState();
    await loadQueue();
    if (page.shown) await openRecord(page.shown.record.clip_id);
  }));
  at("filters").addEventListener("submit", (event) => event.preventDefault());
  at("filters").addEventListener("input", guarded(async () => {
    await loadState();
    await loadQueue();
  }));
  at("decision").addEventListener("submit", (event) => event.preventDefault());
  at("decision").addEventListener("click", (event) => {
    const button = event.target.closest("[data-do]");
    if (button) guarded(ACTIONS[button.dataset.do])();
  });
  at("comment").addEventListener("keydown", (event) => {
    if (event.key === "Escape") delete at("comment").dataset.rejects;
    if (event.key !== "Enter" || page.isEditing || !at("comment").dataset.rejects) return;
    event.preventDefault();
    guarded(reject)();
  });
  at("comment").addEventListener("blur", () => delete at("comment").dataset.rejects);
  at("more").addEventListener("click", guarded(loadMore));
  at("toggle-queue").addEventListener("click", () => {
    const isShown = at("queue").classList.toggle("shown");
    at("toggle-queue").setAttribute("aria-expanded", String(isShown));
  });
  at("show-help").addEventListener("click", () => at("help").showModal());
  document.addEventListener("keydown", onKey);
  guarded(async () => {
    await loadState();
    await loadQueue();
  })();
}

start();
