#!/usr/bin/env python3
"""Look at a report of `torpor test --html` in headless Chromium, and print what is wrong with it.

    page.py FILE TITLE [--pictures FOLDER]

Narrow and wide, light and dark: nothing is loaded from elsewhere, no script is there or could run, nothing
is wider than the window, text has a contrast of 4.5 with its ground, drawings have names, and what can be
scrolled can be reached by key. The DevTools protocol is spoken over two pipes (--remote-debugging-pipe).
"""
import base64
import json
import os
import select
import subprocess
import sys
import tempfile
import time

PATIENCE = 300

# Runs in the page: a list of what is wrong.
LOOK = r"""(() => {
  const wrong = [], all = [...document.querySelectorAll('*')];
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth)
    wrong.push(`the page is ${root.scrollWidth} wide, its window ${root.clientWidth}`);
  for (const e of document.querySelectorAll('script,link,iframe,object,embed,img,base,form,video,audio'))
    wrong.push(`an element ${e.localName}`);
  for (const e of all) for (const a of e.attributes) {
    if (a.name.startsWith('on')) wrong.push(`an attribute ${a.name}`);
    if (/href|src/.test(a.name) && !a.value.startsWith('#')) wrong.push(`${a.name}=${a.value}`);
  }
  const bright = ([r, g, b]) => [r, g, b].map(c => (c /= 255) <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const parts = color => color.match(/[\d.]+/g).map(Number);
  const ground = e => {
    for (; e; e = e.parentElement) {
      const back = parts(getComputedStyle(e).backgroundColor);
      if (back.length == 3 || back[3] > 0) return back;
    }
    return [255, 255, 255];
  };
  for (const e of all) {
    if (e.closest('svg,head') || ![...e.childNodes].some(n => n.nodeType == 3 && n.data.trim())) continue;
    const [a, b] = [bright(parts(getComputedStyle(e).color)), bright(ground(e))];
    const contrast = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (contrast < 4.5) wrong.push(`contrast ${contrast.toFixed(2)} of ${e.localName}.${e.className}`);
  }
  for (const e of document.querySelectorAll('svg'))
    if (e.getAttribute('role') != 'img' || !e.getAttribute('aria-label')) wrong.push('a drawing without a name');
  for (const e of document.querySelectorAll('pre'))
    if (e.tabIndex != 0 || !e.getAttribute('aria-label')) wrong.push('text that no key scrolls');
  const ids = all.map(e => e.id).filter(id => id);
  if (new Set(ids).size != ids.length) wrong.push('an id is there twice');
  for (const e of document.querySelectorAll('a'))
    if (!document.querySelector(e.getAttribute('href'))) wrong.push(`a link to nothing: ${e.getAttribute('href')}`);
  const script = document.createElement('script');
  script.textContent = 'window.hasRun = true';
  document.head.append(script);
  script.remove();
  if (window.hasRun) wrong.push('the policy lets scripts run');
  return wrong;
})()"""


class Browser:
    def __init__(self, profile):
        to_it, self.out = os.pipe()
        self.inp, from_it = os.pipe()

        def streams():
            # The two may be 3 and 4 themselves, and crossed.
            os.dup2(to_it, 100)
            os.dup2(from_it, 101)
            os.dup2(100, 3)
            os.dup2(101, 4)

        self.process = subprocess.Popen(
            ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--no-first-run", "--hide-scrollbars", f"--user-data-dir={profile}", "--remote-debugging-pipe"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            close_fds=False, preexec_fn=streams)
        os.close(to_it)
        os.close(from_it)
        self.rest, self.number, self.events = b"", 0, []

    def message(self):
        deadline = time.monotonic() + PATIENCE
        while b"\0" not in self.rest:
            if not select.select([self.inp], [], [], max(0, deadline - time.monotonic()))[0]:
                sys.exit("the browser does not answer")
            data = os.read(self.inp, 1 << 20)
            if not data:
                sys.exit("the browser has ended")
            self.rest += data
        text, self.rest = self.rest.split(b"\0", 1)
        return json.loads(text)

    def ask(self, method, session=None, **params):
        self.number += 1
        request = {"id": self.number, "method": method, "params": params}
        if session:
            request["sessionId"] = session
        os.write(self.out, json.dumps(request).encode() + b"\0")
        while True:
            message = self.message()
            if message.get("id") == self.number:
                if "error" in message:
                    sys.exit(f"{method}: {message['error']}")
                return message["result"]
            self.events.append(message)

    def until(self, event):
        while not any(e.get("method") == event for e in self.events):
            self.events.append(self.message())


def look(browser, url, title, pictures):
    target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
    session = browser.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def ask(method, **params):
        return browser.ask(method, session, **params)

    for domain in "Page", "Network", "Runtime", "Log":
        ask(f"{domain}.enable")
    for width in 400, 1280:
        for scheme in "light", "dark":
            where = f"{width} {scheme}"
            ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
            ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            browser.events.clear()
            ask("Page.navigate", url=url)
            browser.until("Page.loadEventFired")
            ask("Runtime.evaluate", expression="document.querySelectorAll('details').forEach(d => d.open = true)")
            for event in browser.events:
                if event.get("method") == "Network.requestWillBeSent":
                    if event["params"]["request"]["url"] != url:
                        yield f"{where}: it loads {event['params']['request']['url']}"
                elif event.get("method") == "Log.entryAdded":
                    yield f"{where}: {event['params']['entry']['text']}"
            if pictures:
                data = ask("Page.captureScreenshot", captureBeyondViewport=True)["data"]
                with open(f"{pictures}/{width}-{scheme}.png", "wb") as picture:
                    picture.write(base64.b64decode(data))
            got = ask("Runtime.evaluate", expression=f"[document.title, {LOOK}]", returnByValue=True)
            if "value" not in got["result"]:
                sys.exit(got)
            seen, wrong = got["result"]["value"]
            if seen != title:
                yield f"{where}: its title is '{seen}'"
            yield from (f"{where}: {what}" for what in sorted(set(wrong)))
    back = ask("Runtime.evaluate", expression="getComputedStyle(document.body).backgroundColor")["result"]["value"]
    if back == "rgb(255, 255, 255)":
        yield "dark: its ground is white"


def main():
    path, title = sys.argv[1:3]
    pictures = sys.argv[4] if len(sys.argv) > 4 else None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(profile)
        try:
            wrong = list(look(browser, "file://" + os.path.abspath(path), title, pictures))
            browser.ask("Browser.close")
        finally:
            browser.process.terminate()
            browser.process.wait()
    print("\n".join(wrong) if wrong else "ok")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
