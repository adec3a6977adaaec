internal import HTTPTypes
internal import NIOCore

/// A page to look at, with nothing to press: devices, models, latency and the last failures, once a second.
enum StatusPage {
  static var html: HTTPAnswer { answer(page, "text/html; charset=utf-8") }
  static var script: HTTPAnswer { answer(code, "text/javascript; charset=utf-8") }
  static var style: HTTPAnswer { answer(look, "text/css; charset=utf-8") }

  private static func answer(_ text: String, _ type: String) -> HTTPAnswer {
    var headers: HTTPFields = [.contentType: type, .cacheControl: "no-store"]
    headers[.contentSecurityPolicy] =
      "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-ancestors 'none'"
    headers[.xContentTypeOptions] = "nosniff"
    return HTTPAnswer(headers: headers, body: ByteBuffer(string: text))
  }

  private static let page = """
    <!doctype html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width">
    <title>vtad</title>
    <link rel="stylesheet" href="page.css">
    <script src="page.js" defer></script>
    </head>
    <body>
    <header><h1>vtad</h1><p id="state">connecting…</p></header>
    <main>
    <section class="tiles" id="tiles"></section>
    <section><h2>Devices</h2><table><thead><tr><th>device</th><th>kind</th><th>target</th><th>state</th>
    <th>note</th></tr></thead><tbody id="devices"></tbody></table></section>
    <section><h2>Models</h2><table><thead><tr><th>model</th><th>version</th><th>answered</th><th>per second</th>
    <th>mean</th><th>of it queued</th><th>p50 ≤</th><th>p99 ≤</th><th>failed</th><th>memory</th></tr></thead>
    <tbody id="models"></tbody></table></section>
    <section id="unavailableSection"><h2>Not served</h2><table><thead><tr><th>model</th><th>version</th><th>why</th>
    </tr></thead><tbody id="unavailable"></tbody></table></section>
    <section><h2>Last failures</h2><table><thead><tr><th>when</th><th>reason</th><th>model</th><th>what</th></tr>
    </thead><tbody id="failures"></tbody></table></section>
    </main>
    </body>
    </html>
    """

  private static let look = """
    :root { color-scheme: light dark; --line: #8884; --soft: #8882; --good: #2a8a4a; --bad: #c0392b; }
    body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 70rem; padding: 1rem 1.5rem; }
    header { display: flex; gap: 1rem; align-items: baseline; border-bottom: 1px solid var(--line); }
    h1 { font-size: 1.4rem; margin: .2rem 0; } h2 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
    table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
    th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--soft);
      vertical-align: top; overflow-wrap: anywhere; }
    th { font-weight: 500; opacity: .7; font-size: .85rem; }
    .tiles { display: flex; flex-wrap: wrap; gap: .8rem; margin-top: 1rem; }
    .tile { background: var(--soft); border-radius: .5rem; padding: .6rem 1rem; min-width: 7rem; }
    .tile b { display: block; font-size: 1.4rem; font-variant-numeric: tabular-nums; }
    .good { color: var(--good); } .bad { color: var(--bad); } .empty { opacity: .6; }
    """

  /// Everything from the daemon becomes text, never markup.
  private static let code = """
    "use strict";
    const byId = (id) => document.getElementById(id);
    let last = null;

    function row(cells) {
      const line = document.createElement("tr");
      for (const cell of cells) {
        const field = document.createElement("td");
        field.textContent = typeof cell === "object" && cell ? cell.text : cell;
        if (typeof cell === "object" && cell && cell.look) field.className = cell.look;
        line.append(field);
      }
      return line;
    }

    function fill(id, rows, columns) {
      const body = byId(id);
      body.replaceChildren(...rows.map(row));
      if (rows.length === 0) {
        const line = row([{ text: "none", look: "empty" }]);
        line.firstChild.colSpan = columns;
        body.append(line);
      }
    }

    function tiles(values) {
      byId("tiles").replaceChildren(...values.map(([name, value]) => {
        const tile = document.createElement("div");
        tile.className = "tile";
        const number = document.createElement("b");
        number.textContent = value;
        tile.append(number, name);
        return tile;
      }));
    }

    const time = (ms) => ms === null ? "–" : ms >= 1000 ? (ms / 1000).toFixed(2) + " s" : ms.toPrecision(3) + " ms";
    const bytes = (count) => count >= 1 << 20 ? (count / (1 << 20)).toFixed(1) + " MiB" : (count / 1024).toFixed(0) + " KiB";

    function span(seconds) {
      const days = Math.floor(seconds / 86400), hours = Math.floor(seconds / 3600) % 24;
      const minutes = Math.floor(seconds / 60) % 60;
      return days ? `${days} d ${hours} h` : hours ? `${hours} h ${minutes} min` : minutes
        ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
    }

    /** Since the last look: answers per second, mean time and mean wait of one. */
    function recent(model, now) {
      const before = last && last.models.find((m) => m.name === model.name && m.version === model.version);
      const base = before && before.answered <= model.answered ? before : { answered: 0, seconds: 0, queue_seconds: 0 };
      const count = model.answered - base.answered;
      const rate = before ? count / ((now - last.at) / 1000) : null;
      const mean = (sum) => count > 0 ? sum / count * 1000 : null;
      return [rate, mean(model.seconds - base.seconds), mean(model.queue_seconds - base.queue_seconds)];
    }

    function show(status) {
      const now = Date.now();
      byId("state").textContent = (status.ready ? "ready" : "not ready") + ", version " + status.version;
      byId("state").className = status.ready ? "good" : "bad";
      tiles([["up", span(status.uptime_seconds)], ["answered", status.inferences], ["in flight", status.running],
        ["waiting", status.waiting], ["connections", status.connections]]);
      fill("devices", status.devices.map((d) => [d.name, d.kind, d.target || "any",
        { text: d.drained ? d.state + ", drained" : d.state, look: d.state === "ready" && !d.drained ? "good" : "bad" },
        d.note]), 5);
      fill("models", status.models.map((m) => {
        const [rate, mean, queued] = recent(m, now);
        return [m.name, m.version, m.answered, rate === null ? "–" : rate.toFixed(1), time(mean), time(queued),
          time(m.p50_ms), time(m.p99_ms), { text: m.failed, look: m.failed ? "bad" : "" }, bytes(m.memory_bytes)];
      }), 10);
      byId("unavailableSection").hidden = status.unavailable.length === 0;
      fill("unavailable", status.unavailable.map((m) => [m.name, m.version, m.reason]), 3);
      fill("failures", status.failures.map((f) => [new Date(f.time * 1000).toLocaleTimeString(),
        f.reason.replaceAll("_", " "), f.model, f.sentence]), 4);
      last = { at: now, models: status.models };
    }

    async function look() {
      try {
        const answer = await fetch("status.json");
        if (!answer.ok) throw new Error(answer.status);
        show(await answer.json());
      } catch (error) {
        byId("state").textContent = "the daemon does not answer";
        byId("state").className = "bad";
      }
      setTimeout(look, 1000);
    }

    look();
    """
}
