"""What `make` and `check` do, once a PostgreSQL is there: a Safelight at work, driven through its doors.

Standard library only. Every person in it is one of the values that tests/it/harness/planted.rs plants, so that the leak
checks of the suite look for them in the fixtures too.
"""

import base64
import hashlib
import hmac
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from datetime import datetime, timedelta, timezone

HERE = pathlib.Path(__file__).resolve().parent

NAME, PHONE, STREET = "司马植入", "13712345678", "暗房路七弄绝密小区707室"
OTHER_NAME, OTHER_PHONE, OTHER_STREET = "诸葛更正", "13712345699", "显影街九号绝密大院909室"
PHOTO = "oss://planted-photos/2026/11/23/secret-face.jpg"
REASON = "植入的理由：客户本人来电"
REMARK = "植入的备注：已签收，签收人司马"
TRACKING = "SFPLANTED7070"
SECRET = "whsec_cGxhbnRlZC13ZWJob29rLXNlY3JldC0wMDAx"

# How long anything may take on a busy machine. Nothing here measures time: it waits for what must come.
PATIENCE = 90


def now():
    return datetime.now(timezone.utc)


def text_of(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def say(what):
    print(what, flush=True)


def until(what, holds):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = holds()
        if found:
            return found
        time.sleep(0.1)
    raise SystemExit(f"it did not come to be that {what}")


def call(method, url, key=None, body=None, headers=(), raw=None):
    """The status and the JSON of an answer."""
    data = raw if raw is not None else None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers=dict(headers))
    if data is not None:
        request.add_header("Content-Type", "application/json")
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    try:
        return status, json.loads(text) if text else None
    except ValueError:
        return status, None


class Process:
    """A program that says on standard error or output when it is there."""

    def __init__(self, command, folder, env, says, log):
        self.log = folder / log
        with open(self.log, "ab") as out:
            started_at = out.tell()
            self.child = subprocess.Popen(command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

        def there():
            if self.child.poll() is not None:
                raise SystemExit(f"{command[1]} ended at once:\n{self.said(started_at)}")
            return re.search(says, self.said(started_at))

        self.url = until(f"{command[1]} is there", there).group(1)

    def said(self, start=0):
        return self.log.read_bytes()[start:].decode()

    def end(self, how=signal.SIGTERM):
        if self.child.poll() is None:
            self.child.send_signal(how)
        try:
            self.child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.child.kill()
            raise SystemExit("it does not end") from None


class EasyPost(http.server.BaseHTTPRequestHandler):
    """As much of EasyPost as it takes to book a parcel and to fetch its label, which the simulated courier has none of."""

    shipments = {}

    def log_message(self, *_):
        pass

    def answer(self, body, content_type="application/json"):
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def shipment(self, number):
        self.answer(json.dumps(self.shipments[number]).encode())

    def do_GET(self):
        parts = self.path.strip("/").split("/")
        if parts[0] == "labels":
            return self.answer(b"%PDF-1.4 made up", "application/pdf")
        return self.shipment(parts[2])

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or "{}")
        parts = self.path.strip("/").split("/")
        if len(parts) == 2:
            number = f"shp_{len(self.shipments) + 1:032x}"
            rate = {"id": "rate_1", "carrier": "USPS", "service": "GroundAdvantage", "rate": "5.93", "currency": "USD"}
            self.shipments[number] = {"id": number, "reference": body["shipment"]["reference"], "rates": [rate]}
            return self.shipment(number)
        number = parts[2]
        self.shipments[number] |= {
            "selected_rate": self.shipments[number]["rates"][0],
            "tracking_code": f"94001PLANTED{int(number[4:], 16):010}",
            "postage_label": {"label_url": f"http://{self.headers['Host']}/labels/{number}.pdf"},
        }
        return self.shipment(number)

    @classmethod
    def serve(cls):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), cls)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/v2"


class Shop:
    """An installation: two databases, a folder, a courier, and the binary that serves it just now."""

    def __init__(self, binary, folder, engine):
        self.binary, self.folder, self.engine = str(binary), folder, engine
        for name in ("data", "vault"):
            (folder / name).mkdir(parents=True)
        self.courier = self.served = None
        self.keys, self.placed, self.count = {}, {}, 0
        if engine == "sqlite":
            self.urls = ("sqlite:data/safelight.db", "sqlite:vault/vault.db")
        else:
            names = [f"old_{uuid.uuid4().hex[:10]}_{which}" for which in ("orders", "vault")]
            for name in names:
                psql(f"CREATE DATABASE {name} TEMPLATE template0")
            self.urls = tuple(pg_database(name) for name in names)

    # Processes

    def env(self, settings=None):
        base = {
            "DATABASE__URL": self.urls[0],
            "VAULT__URL": self.urls[1],
            "HTTP__LISTEN": "127.0.0.1:0",
            "HTTP__RATE_LIMIT__ENABLED": "false",
            "JOBS__POLL": "100ms",
            "LOG__FORMAT": "json",
            "COURIERS__SIMULATED__EMBEDDED": "false",
            "COURIERS__SIMULATED__BASE_URL": self.courier.url if self.courier else "http://127.0.0.1:9",
            "COURIERS__SIMULATED__WEBHOOK_SECRET": SECRET,
            "COURIERS__SETTLE": "1s",
        }
        base.update(settings or {})
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SAFELIGHT")}
        return clean | {f"SAFELIGHT__{name}": value for name, value in base.items()}

    def open_courier(self):
        command = [self.binary, "sandbox-courier", "--listen", "127.0.0.1:0", "--state", "courier.jsonl"]
        # Nobody is told of a parcel's life: what happens to one is told by this script.
        command += ["--webhook-url", "http://127.0.0.1:9/", "--webhook-secret", SECRET]
        self.courier = Process(command, self.folder, self.env(), r"listens on (http://\S+)", "courier.log")

    def serve(self, *arguments, **settings):
        command = [self.binary, "serve", *arguments]
        self.served = Process(command, self.folder, self.env(settings), r"listens on (http://[\d.:]+)", "service.log")
        until("it is ready", lambda: call("GET", f"{self.served.url}/readyz")[0] == 200)

    def stop(self, how=signal.SIGTERM):
        if self.served:
            self.served.end(how)
        self.served = None

    def close(self):
        self.stop()
        if self.courier:
            self.courier.end()
        self.courier = None

    def run(self, *arguments, **settings):
        """A command beside whatever runs; what it printed."""
        done = subprocess.run([self.binary, *arguments], cwd=self.folder, env=self.env(settings), capture_output=True,
                              text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"safelight {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def key(self, name, scope, client="shop"):
        self.keys[name] = self.run("keys", "create", "--name", name, "--scope", scope, "--client", client)

    # Requests

    def ask(self, key, method, path, body=None, expect=(200, 201, 202)):
        status, answer = call(method, f"{self.served.url}{path}", self.keys[key], body)
        if status not in expect:
            raise SystemExit(f"{method} {path}: {status} {answer}")
        return answer

    def place(self, name, key="orders", **changes):
        """Places an order; it is called `name` from here on."""
        self.count += 1
        other = changes.pop("other", False)
        recipient = {
            "name": OTHER_NAME if other else NAME, "phone": OTHER_PHONE if other else PHONE,
            "province": "浙江省" if other else "广东省", "city": "杭州市" if other else "深圳市",
            "district": "西湖区" if other else "南山区", "street": OTHER_STREET if other else STREET,
            "postal_code": "310000" if other else "518057", "country": "CN",
        }
        consent = {"policy_version": "2024-06", "accepted_at": "2024-06-01T00:00:00Z", "courier_sharing": True,
                   "minor": False, "guardian_consent": False}
        if changes.pop("minor", False):
            consent |= {"minor": True, "guardian_consent": True}
        body = {
            "reference": f"OLD-{self.count:04}", "recipient": recipient,
            "items": [{"photo_size": "cn-1in", "copies": 8, "sheets": 1, "photo": PHOTO}],
            "amount": "12.90", "currency": "CNY", "courier": "simulated", "confirm": True, "consent": consent,
        } | changes
        sent = {"key": key, "idempotency": f"planted-key-old-{self.count}", "body": body}
        answer = self.send(sent)
        self.placed[name] = sent | {"name": name, "id": answer["id"]}
        return answer["id"]

    def send(self, sent):
        status, answer = call("POST", f"{self.served.url}/v1/orders", self.keys[sent["key"]], sent["body"],
                              {"Idempotency-Key": sent["idempotency"]})
        if status != 201:
            raise SystemExit(f"placing an order: {status} {answer}")
        return answer

    def id(self, name):
        return self.placed[name]["id"]

    def detail(self, name):
        return self.ask("ops", "GET", f"/admin/v1/orders/{self.id(name)}")

    def printed(self, *names, **changes):
        """Orders that are printed; whether their parcels are booked is the courier's affair."""
        for name in names:
            self.place(name, **changes)
        for name in names:
            self.print(name)

    def print(self, name):
        wang = {"operator": "wang"}
        self.ask("floor", "POST", "/admin/v1/print-queue/claim", wang | {"limit": 100})
        self.ask("floor", "POST", f"/admin/v1/orders/{self.id(name)}/printed", wang)

    def parcel_is(self, state, *names):
        for name in names:
            until(f"the parcel of {name} is {state}", lambda n=name: (self.detail(n)["shipment"] or {}).get("state") == state)

    def booked(self, *names, **changes):
        self.printed(*names, **changes)
        self.parcel_is("booked", *names)

    def labelled(self, name):
        """A parcel of EasyPost's whose label the floor has printed."""
        self.booked(name, courier="easypost")
        url = f"{self.served.url}/admin/v1/orders/{self.id(name)}/label"
        status, _ = call("GET", url, self.keys["floor"])
        if status != 200:
            raise SystemExit(f"a label was answered {status}")

    def webhook(self, data):
        sent_at = str(int(time.time()))
        body = json.dumps({"type": "parcel.updated", "timestamp": text_of(now()), "data": data}).encode()
        number = str(uuid.uuid4())
        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        signed = hmac.new(key, f"{number}.{sent_at}.".encode() + body, hashlib.sha256).digest()
        headers = {"webhook-id": number, "webhook-timestamp": sent_at,
                   "webhook-signature": f"v1,{base64.b64encode(signed).decode()}"}
        status, answer = call("POST", f"{self.served.url}/webhooks/simulated", headers=headers, raw=body)
        if status != 200:
            raise SystemExit(f"a webhook was answered {status} {answer}")

    def hears(self, name, *statuses):
        """The courier tells what became of a parcel."""
        for status in statuses:
            shipment = self.detail(name)["shipment"]
            self.webhook({"reference": shipment["booking_reference"], "tracking_no": shipment["tracking_no"],
                          "status": status, "code": "S00", "occurred_at": text_of(now()), "remark": REMARK})

    def faults(self, **faults):
        status, answer = call("PUT", f"{self.courier.url}/faults", body=faults)
        if status >= 300:
            raise SystemExit(f"faults: {status} {answer}")

    def number_at_courier(self, name):
        """The tracking number that the courier gave a parcel whose booking is not known here yet, although it answers no
        question just now: its memory says it, in the way of couriers/simulated/sandbox/ledger.rs."""
        reference = self.detail(name)["shipment"]["booking_reference"]
        lines = [json.loads(line) for line in (self.folder / "courier.jsonl").read_text().splitlines()]
        installation = next(line["number"] for line in lines if line["line"] == "installation")
        ordinal = next(line["ordinal"] for line in lines if line.get("reference") == reference)
        return f"SM{(installation + ordinal) % 10**12:012}"

    def act(self, key, method, name, verb, body=None):
        return self.ask(key, method, f"/admin/v1/orders/{self.id(name)}/{verb}", body)

    def request(self, kind, *names, close=None, **more):
        """A data subject's request; its id."""
        body = {"kind": kind, "requester": {"role": "self", "verified_by": REASON}} | more
        if names:
            body["order_ids"] = [self.id(name) for name in names]
        number = self.ask("privacy", "POST", "/admin/v1/subject-requests", body)["id"]
        if close:
            reason = {"reason": REASON} if close == "refuse" else None
            self.ask("privacy", "POST", f"/admin/v1/subject-requests/{number}/{close}", reason)
        return number

    def status(self, name):
        return self.detail(name)["status"]


# PostgreSQL


def pg_url():
    return os.environ["OLD_DATA_POSTGRES"]


def pg_database(name):
    return f"{pg_url().rsplit('/', 1)[0]}/{name}"


def psql(sql, url=None):
    subprocess.run(["psql", "-qX", "-v", "ON_ERROR_STOP=1", url or pg_url(), "-c", sql], check=True,
                   stdout=subprocess.DEVNULL)


def pg_dump(url):
    """A database as SQL that any client can send whole, to any server from PostgreSQL 13 on."""
    command = ["pg_dump", "--no-owner", "--no-privileges", "--rows-per-insert=100", url]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    # Neither psql's own commands nor settings that only newer servers have.
    unwanted = re.compile(r"^(\\|SET transaction_timeout|--|$)")
    # Of `search_path` nothing must stay with the connection: every name is written out.
    return "".join(line + "\n" for line in text.splitlines() if not unwanted.match(line))


# The fixtures


def make(binary, out):
    if out.exists():
        shutil.rmtree(out)
    for engine in ("sqlite", "postgres"):
        with tempfile.TemporaryDirectory(prefix="safelight-old-") as folder:
            shop = Shop(binary, pathlib.Path(folder), engine)
            try:
                manifest, before = live(shop)
            finally:
                shop.close()
            target = out / engine
            target.mkdir(parents=True)
            shutil.copy(shop.folder / "vault/master.key", target)
            shutil.copy(shop.folder / "courier.jsonl", target)
            if engine == "sqlite":
                # The last process that used them has emptied their logs.
                for name, to in (("data/safelight.db", "orders.db"), ("vault/vault.db", "vault.db")):
                    if (shop.folder / f"{name}-wal").exists() and (shop.folder / f"{name}-wal").stat().st_size:
                        raise SystemExit(f"{name} still has a log")
                    shutil.copy(shop.folder / name, target / to)
                shutil.copy(before.folder / "safelight.db", target / "orders-before.db")
            else:
                for name, url in zip(("orders.sql", "vault.sql"), shop.urls):
                    (target / name).write_text(pg_dump(url))
                shutil.copy(before.folder / "orders.sql", target / "orders-before.sql")
            (target / "manifest.json").write_text(as_lines(manifest))
            for path in sorted(target.iterdir()):
                os.chmod(path, 0o644)
                say(f"{path.relative_to(out)}: {path.stat().st_size} bytes")


def as_lines(manifest):
    """JSON with a line for each entry, so that what changed can be seen."""
    members = []
    for name, value in manifest.items():
        compact = lambda part: json.dumps(part, ensure_ascii=False, separators=(",", ":"))
        lines = ",\n".join(map(compact, value)) if isinstance(value, list) else None
        members.append(f'"{name}":' + (f"[\n{lines}\n]" if lines else compact(value)))
    return "{\n" + ",\n".join(members) + "\n}\n"


def live(shop):
    """The shop's whole past, in real time: what is left of it when everything is stopped is the fixture, with a copy of the
    orders from before people asked for anything."""
    shop.open_courier()
    for name in ("orders", "floor", "ops", "privacy", "admin"):
        shop.key(name, name)
    shop.key("privacy2", "privacy")
    shop.key("other", "orders", client="other")
    shop.key("revoked", "orders")
    shop.key("revoked_over_http", "orders")

    say(f"{shop.engine}: orders that are gone, and epochs with them")
    easypost = {"COURIERS__EASYPOST__BASE_URL": EasyPost.serve(), "COURIERS__EASYPOST__API_KEY": "EZTKexample",
                "COURIERS__EASYPOST__WEBHOOK_SECRET": "example", "COURIERS__EASYPOST__REGION": "CN"}
    short = {"RETENTION__WINDOW": "1s", "RETENTION__DRAFT_AFTER": "1s", "VAULT__EPOCH_LENGTH": "2s"} | easypost
    shop.serve(**short)
    shop.labelled("purged_labelled")
    shop.act("ops", "POST", "purged_labelled", "mark", {"status": "lost", "reason": REASON})
    shop.booked("purged_delivered", "purged_returned", "purged_lost", "purged_called_off")
    shop.hears("purged_delivered", "picked_up", "delivered")
    shop.hears("purged_returned", "picked_up", "returned")
    shop.hears("purged_lost", "picked_up", "lost")
    shop.place("purged_draft", confirm=False)
    shop.place("purged_cancelled")
    for name in ("purged_cancelled", "purged_called_off"):
        shop.ask("orders", "POST", f"/v1/orders/{shop.id(name)}/cancel", {"reason": REASON})
        until(f"{name} is cancelled", lambda n=name: shop.status(n) == "cancelled")
    gone = list(shop.placed)
    time.sleep(3)
    shop.stop()
    # Drafts and what is due are looked for at a start.
    shop.serve(**short)
    until("what is due is purged", lambda: all(shop.detail(name)["purged_at"] for name in gone))
    shop.run("vault", "retire", "--now", **short)
    shop.stop()

    say(f"{shop.engine}: orders of several epochs")
    sf = {"COURIERS__SF__PARTNER_ID": "EXAMPLE", "COURIERS__SF__CHECKWORD": "example-checkword",
          "COURIERS__SF__BASE_URL": "http://127.0.0.1:9"}
    short = {"VAULT__EPOCH_LENGTH": "2s"}
    shop.serve(**short, **sf, **easypost)
    # SF is gone when this one is printed: its job is dead.
    shop.place("not_configured", courier="sf")
    shop.booked("shipped", "in_transit", "out_for_delivery", "exception")
    shop.labelled("labelled")
    shop.run("vault", "retire", "--now", **short)
    shop.labelled("labelled_since")
    shop.booked("delivered", "delivered_held", "delivered_once_held", "returned")
    shop.booked("lost", "called_off", "reshipped", "restricted", "rejected", "asked_about")
    shop.stop()
    short = {"VAULT__EPOCH_LENGTH": "3s"}
    shop.serve(**short)
    shop.print("not_configured")
    shop.parcel_is("failed", "not_configured")
    for name in ("shipped", "delivered", "delivered_held", "delivered_once_held", "returned", "lost", "reshipped",
                 "restricted", "asked_about"):
        shop.hears(name, "picked_up")
    shop.hears("in_transit", "picked_up", "in_transit")
    shop.hears("out_for_delivery", "out_for_delivery")
    shop.hears("exception", "in_transit", "exception")
    shop.hears("rejected", "picked_up", "rejected")
    for name in ("delivered", "delivered_held", "delivered_once_held"):
        shop.hears(name, "delivered")
    for name in ("returned", "reshipped"):
        shop.hears(name, "returned")
    shop.hears("lost", "lost")
    shop.act("ops", "POST", "reshipped", "reship")
    shop.parcel_is("booked", "reshipped")
    shop.ask("orders", "POST", f"/v1/orders/{shop.id('called_off')}/cancel", {"reason": REASON})
    until("it is called off", lambda: shop.status("called_off") == "cancelled")
    shop.faults(refuse={"code": "out_of_area"})
    shop.printed("refused")
    shop.parcel_is("failed", "refused")
    shop.faults()
    shop.printed("reprinted", "marked_lost", other=True)
    shop.parcel_is("booked", "reprinted", "marked_lost")
    shop.act("ops", "POST", "marked_lost", "mark", {"status": "lost", "reason": REASON})
    shop.printed("withdrawn_booked")
    shop.parcel_is("booked", "withdrawn_booked")
    shop.act("floor", "POST", "reprinted", "reprint", {"operator": "li", "reason": REASON})

    shop.place("draft", confirm=False)
    shop.place("draft_held", confirm=False)
    shop.place("deleted")
    shop.place("purged_by_operator")
    hold = {"reason": REASON, "until": text_of(now() + timedelta(days=60))}
    shop.act("privacy", "PUT", "delivered_once_held", "hold", hold)
    before = Copies(shop)
    before.take("orders")

    say(f"{shop.engine}: holds, requests, reveals and keys")
    shop.act("privacy", "PUT", "delivered_held", "hold", hold)
    shop.act("privacy", "DELETE", "delivered_once_held", "hold")
    shop.act("privacy", "PUT", "draft_held", "hold", hold)
    shop.request("delete", "deleted", close="complete")
    shop.request("delete", "restricted", close="complete")
    shop.request("withdraw_consent", "withdrawn_booked", close="complete")
    until("it is purged", lambda: shop.detail("withdrawn_booked")["purged_at"])
    shop.request("copy", "asked_about", close="complete")
    shop.request("correct", "asked_about", close="refuse")
    shop.open_request = shop.request("access", phone=PHONE)
    shop.ask("orders", "POST", f"/v1/orders/{shop.id('purged_by_operator')}/cancel", {"reason": REASON})
    shop.act("privacy", "POST", "purged_by_operator", "purge", {"reason": REASON})
    until("it is purged", lambda: shop.detail("purged_by_operator")["purged_at"])
    shop.act("privacy", "POST", "shipped", "reveal", {"reason": REASON})
    for name, approved in (("minor", False), ("minor_approved", True)):
        shop.place(name, minor=True, confirm=False, other=True)
        reveal = shop.act("privacy", "POST", name, "reveal", {"reason": REASON})["reveal_id"]
        if approved:
            shop.ask("privacy2", "POST", f"/admin/v1/reveals/{reveal}/approve")
    shop.run("keys", "revoke", shop.keys["revoked"].split("_")[1])
    shop.ask("admin", "DELETE", f"/admin/v1/keys/{shop.keys['revoked_over_http'].split('_')[1]}", expect=(200, 204))

    say(f"{shop.engine}: bookings in flight")
    shop.stop()
    # The longest that a call may take, so that the last of these is still under way when the service is killed.
    shop.serve(COURIERS__SIMULATED__TIMEOUT="60s")
    blind = {"down": {"on": ["query"]}}
    shop.faults(drop_after_booking=True, **blind)
    shop.printed("unknown_booked", "unknown_picked_up", "unknown_withdrawn")
    shop.parcel_is("unknown", "unknown_booked", "unknown_picked_up", "unknown_withdrawn")
    shop.faults(drop_before_booking=True, **blind)
    shop.printed("unknown_not_there")
    shop.parcel_is("unknown", "unknown_not_there")
    shop.request("withdraw_consent", "unknown_withdrawn", close="complete")
    # News of a parcel that is not known to be booked yet, and of one that nobody will ever know.
    for number in (shop.number_at_courier("unknown_picked_up"), "SIMNOBODYS1"):
        shop.webhook({"tracking_no": number, "status": "picked_up", "code": "S01", "occurred_at": text_of(now()),
                      "remark": REMARK})
    shop.faults(slow={"delay": 50}, **blind)
    shop.printed("booking")
    shop.parcel_is("booking", "booking")
    # It is stored as such before it is sent: the courier must have it before its manners change.
    time.sleep(1)
    shop.faults(down={"on": ["book", "query"]})
    paused = [f"paused_{number}" for number in range(1, 7)]
    shop.printed(*paused)
    couriers = lambda: {one["name"]: one for one in shop.ask("ops", "GET", "/admin/v1/couriers")["data"]}
    until("the courier's queue is paused", lambda: couriers()["simulated"]["state"] != "ok")
    # Shipped by hand while its queue waits.
    shop.printed("shipped_by_hand")
    shop.act("ops", "POST", "shipped_by_hand", "shipment", {"courier": "sf", "tracking_no": TRACKING})
    shop.stop(signal.SIGKILL)
    # Nothing that was under way at the courier comes to an end there.
    shop.courier.end(signal.SIGKILL)
    shop.courier = None

    say(f"{shop.engine}: what waits, and what the old binary says of it all")
    shop.serve("--no-workers")
    shop.printed("pending")
    shop.place("corrected")
    shop.ask("orders", "PUT", f"/v1/orders/{shop.id('corrected')}/recipient", {
        "name": OTHER_NAME, "phone": OTHER_PHONE, "province": "浙江省", "city": "杭州市", "district": "西湖区",
        "street": OTHER_STREET, "postal_code": "310000", "country": "CN"})
    shop.place("confirmed", confirm=False)
    shop.ask("orders", "POST", f"/v1/orders/{shop.id('confirmed')}/confirm")
    shop.place("printing")
    shop.ask("floor", "POST", "/admin/v1/print-queue/claim", {"operator": "li", "limit": 100})
    for name in ("corrected", "confirmed"):
        shop.act("floor", "POST", name, "release", {"operator": "li"})
    shop.place("placed", other=True)
    shop.place("of_another_client", key="other")
    # Whoever is shown a person is written down: before the audit log is read.
    export = f"/admin/v1/subject-requests/{shop.open_request}/export"
    for approval in shop.ask("privacy", "GET", export, expect=(202,))["approvals"]:
        shop.ask("privacy2", "POST", f"/admin/v1/reveals/{approval['reveal_id']}/approve")
    export = {"key": "privacy", "path": export, "answer": shop.ask("privacy", "GET", export, expect=(200,))}
    # What being asked again adds to.
    del export["answer"]["exported_at"]
    for order in export["answer"]["orders"]:
        del order["reveals"]
    manifest = readings(shop) | {"export": export}
    shop.stop()
    # A command of the old binary is the last that uses the databases: SQLite's logs are empty after it.
    shop.run("prove")
    manifest["made_at"] = text_of(now())
    return manifest, before


def readings(shop):
    """What the old binary answers, for the new one to answer the same."""
    orders = []
    for sent in shop.placed.values():
        seen = shop.detail(sent["name"])
        orders.append(sent | {"status": seen["status"], "shipment": (seen["shipment"] or {}).get("state"),
                              "purged": seen["purged_at"] is not None})
    answers = []

    def read(key, path):
        answers.append({"key": key, "path": path, "answer": shop.ask(key, "GET", path)})

    for order in orders:
        read(order["key"], f"/v1/orders/{order['id']}")
        read(order["key"], f"/v1/orders/{order['id']}/events")
        read("ops", f"/admin/v1/orders/{order['id']}")
        read("privacy", f"/admin/v1/disclosures?order_id={order['id']}")
        if order["purged"]:
            read("privacy", f"/admin/v1/purges/{order['id']}")
    read("orders", "/v1/orders?limit=200")
    read("other", "/v1/orders?limit=200")
    read("ops", "/admin/v1/orders?limit=200")
    read("ops", "/admin/v1/orders?status=shipped&limit=200")
    read("ops", "/admin/v1/jobs?limit=200")
    read("privacy", "/admin/v1/purges?limit=200")
    read("privacy", "/admin/v1/subject-requests?limit=200")
    read("admin", "/admin/v1/audit?limit=200")
    read("admin", "/admin/v1/audit/verify")
    read("admin", "/admin/v1/keys")
    return {"made_at": None, "version": shop.run("--version"), "keys": shop.keys, "orders": orders, "answers": answers}


# Backups from the one to the other


class Copies:
    """Backups as the runbook makes them, and how they are put back."""

    def __init__(self, shop):
        self.shop = shop
        self.folder = shop.folder / f"copies-{uuid.uuid4().hex[:6]}"
        self.folder.mkdir()

    def take(self, which):
        shop = self.shop
        if shop.engine == "sqlite":
            shop.run("backup", str(self.folder), *(["--vault"] if which == "vault" else []))
        else:
            (self.folder / f"{which}.sql").write_text(pg_dump(shop.urls[which == "vault"]))

    def put_back(self, which):
        shop = self.shop
        if shop.engine == "sqlite":
            shop.run("restore", str(self.folder), *(["--vault"] if which == "vault" else []))
            return
        url = shop.urls[which == "vault"]
        name = url.rsplit("/", 1)[1]
        psql(f"DROP DATABASE {name} WITH (FORCE)")
        psql(f"CREATE DATABASE {name} TEMPLATE template0")
        command = ["psql", "-qX", "-v", "ON_ERROR_STOP=1", url, "-f", str(self.folder / f"{which}.sql")]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def is_in(before, seen):
    """Whether everything that was answered before is answered now: new members may have joined."""
    if isinstance(before, dict) and isinstance(seen, dict):
        return all(name in seen and is_in(value, seen[name]) for name, value in before.items())
    if isinstance(before, list) and isinstance(seen, list):
        return len(before) == len(seen) and all(is_in(one, other) for one, other in zip(before, seen))
    return before == seen


def answers_as(shop, manifest, paths=lambda path: True):
    count = 0
    for reading in manifest["answers"]:
        if paths(reading["path"]):
            seen = shop.ask(reading["key"], "GET", reading["path"])
            if not is_in(reading["answer"], seen):
                raise SystemExit(f"{reading['path']}\nbefore: {reading['answer']}\nnow:    {seen}")
            count += 1
    return count


def proves(shop):
    """Nothing is found, the persons included that were purged until now."""
    planted = shop.folder / "planted"
    planted.write_text("\n".join([NAME, OTHER_NAME, PHONE, OTHER_PHONE, STREET, OTHER_STREET, PHOTO, REASON, REMARK]))
    logs = ["--log-file", str(shop.folder / "service.log")]
    checks = json.loads(shop.run("prove", "--json", "--planted-file", str(planted), *logs))
    return len(checks["checks"])


def carried_over(shop, before, after, name):
    """What `before` wrote is carried on by `after`, as it is and out of its backup; `after` serves at the end."""
    for lived in ("booked", "shipped", "delivered", "placed", "draft", "held", "purged"):
        shop.place(f"{name}_{lived}", confirm=lived != "draft")
    for lived in ("booked", "shipped", "delivered", "held"):
        shop.print(f"{name}_{lived}")
        shop.parcel_is("booked", f"{name}_{lived}")
    for lived in ("shipped", "delivered", "held"):
        shop.hears(f"{name}_{lived}", "picked_up")
    for lived in ("delivered", "held"):
        shop.hears(f"{name}_{lived}", "delivered")
    hold = {"reason": REASON, "until": text_of(now() + timedelta(days=60))}
    shop.act("privacy", "PUT", f"{name}_held", "hold", hold)
    shop.act("privacy", "POST", f"{name}_placed", "reveal", {"reason": REASON})
    shop.request("access", f"{name}_placed")
    # Before the copy: afterwards nobody could read it.
    shop.run("vault", "retire", "--now")
    copies = Copies(shop)
    copies.take("orders")
    # What happens after the copy of the orders stands in the journal of the vault, which is copied later.
    shop.ask("orders", "POST", f"/v1/orders/{shop.id(f'{name}_purged')}/cancel", {"reason": REASON})
    shop.act("privacy", "POST", f"{name}_purged", "purge", {"reason": REASON})
    shop.act("privacy", "DELETE", f"{name}_held", "hold")
    until("it is purged", lambda: shop.detail(f"{name}_purged")["purged_at"])
    # The vault hears of the audit chain's newest entry every five seconds.
    time.sleep(6)
    seen = readings(shop)
    copies.take("vault")
    shop.stop()

    shop.binary = after
    shop.serve()
    count = answers_as(shop, seen, lambda path: "/jobs" not in path)
    say(f"  goes on with it: {count} answers are the same")
    shop.booked(f"{name}_new")
    shop.stop()

    # Out of the backup: the orders are older than the vault.
    copies.put_back("vault")
    copies.put_back("orders")
    shop.serve()
    gone = shop.detail(f"{name}_purged")
    if not gone["purged_at"] or gone["recipient"]:
        raise SystemExit("what was purged since the copy is there again")
    if shop.detail(f"{name}_held")["held"]:
        raise SystemExit("a hold that was lifted since the copy holds again")
    del shop.placed[f"{name}_new"]
    same = [shop.id(f"{name}_{lived}") for lived in ("booked", "shipped", "delivered", "placed", "draft")]
    own = lambda path: path.startswith("/v1/orders/") and path.split("/")[3] in same
    count = answers_as(shop, seen, own)
    for sent in [sent for sent in shop.placed.values() if sent["name"].startswith(name)][:5]:
        if shop.send(sent)["id"] != sent["id"]:
            raise SystemExit("an order that was sent again is another one")
    if not shop.ask("admin", "GET", "/admin/v1/audit/verify")["ok"]:
        raise SystemExit("the audit chain does not verify")
    say(f"  restored its backup: {count} answers are the same, what was done since the copy is done again")
    shop.print(f"{name}_placed")
    shop.booked(f"{name}_after")
    shop.parcel_is("booked", f"{name}_placed")
    shop.hears(f"{name}_shipped", "delivered")


def everything_goes(shop):
    for name in shop.placed:
        seen = shop.detail(name)
        if seen["purged_at"]:
            continue
        if seen["status"] == "printed":
            shop.hears(name, "picked_up", "delivered")
        if seen["status"] == "shipped":
            shop.hears(name, "delivered")
        if seen["status"] in ("draft", "placed", "printing"):
            shop.ask("orders", "POST", f"/v1/orders/{shop.id(name)}/cancel", {"reason": REASON})
        shop.act("privacy", "POST", name, "purge", {"reason": REASON})
        until(f"{name} is purged", lambda n=name: shop.detail(n)["purged_at"])
    for request in shop.ask("privacy", "GET", "/admin/v1/subject-requests?state=open&limit=200")["data"]:
        shop.ask("privacy", "POST", f"/admin/v1/subject-requests/{request['id']}/complete")


def check(old, new):
    for engine in ("sqlite", "postgres"):
        with tempfile.TemporaryDirectory(prefix="safelight-old-") as folder:
            shop = Shop(old, pathlib.Path(folder), engine)
            try:
                shop.open_courier()
                for name in ("orders", "floor", "ops", "privacy", "admin"):
                    shop.key(name, name)
                shop.key("other", "orders", client="other")
                shop.serve()
                say(f"{engine}: the new binary takes over from the old one")
                carried_over(shop, old, new, "first")
                proves(shop)
                say(f"{engine}: the old binary takes over from the new one")
                carried_over(shop, new, old, "second")
                shop.stop()
                shop.binary = new
                shop.serve()
                everything_goes(shop)
                shop.run("vault", "retire", "--now")
                say(f"{engine}: everything is purged by the new one; {proves(shop)} checks find nothing")
                shop.stop()
                shop.binary = old
                say(f"{engine}: nor do {proves(shop)} of the old one")
            except BaseException:
                if shop.served:
                    say(shop.served.said()[-4000:])
                raise
            finally:
                shop.close()


def main():
    command, *arguments = sys.argv[1:]
    binaries = [str(pathlib.Path(argument).resolve()) for argument in arguments]
    if command == "make":
        make(*binaries, HERE / "fixture")
    elif command == "check":
        check(*binaries)
    else:
        raise SystemExit(f"no such command: {command}")


if __name__ == "__main__":
    main()
