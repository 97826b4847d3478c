"""Runs the image as a pod would: a container image's file system, read-only, as the user that the image names, with a volume for its state and nothing else.

pod.py ARCHIVE CERTIFICATE KEY AUTHORITIES

Expects a network namespace of its own and root in it (`unshare --net`), and is the pod's neighbours there: the nameserver, and Flexslot behind TLS. Prints as
JSON what it saw. Nothing waits for a time: what is waited for is a line of the log.
"""

import contextlib
import fcntl
import hashlib
import http.client
import http.server
import io
import json
import os
import pathlib
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading

NAMED = "api.flexslot.test"  # known to the nameserver
LISTED = "api.flexslot.hosts.test"  # known to the hosts file
PAT = "flx_pat_of_the_image"
USER = 10001
STATE = "/var/lib/flexslot-proxy"

requests, questions, endings = [], [], []


# === the archive ===


class Image:
    """An OCI image layout in a tar archive (OCI image specification, "Image Layout")."""

    def __init__(self, path):
        with tarfile.open(path) as archive:
            self.files = {os.path.normpath(m.name): archive.extractfile(m).read() for m in archive if m.isfile()}
        [entry] = json.loads(self.files["index.json"])["manifests"]
        self.manifest = json.loads(self.blob(entry))
        self.config = json.loads(self.blob(self.manifest["config"]))

    def blob(self, descriptor):
        algorithm, digest = descriptor["digest"].split(":")
        content = self.files[f"blobs/{algorithm}/{digest}"]
        assert (hashlib.new(algorithm, content).hexdigest(), len(content)) == (digest, descriptor["size"]), descriptor
        return content

    def members(self):
        for layer in self.manifest["layers"]:
            with tarfile.open(fileobj=io.BytesIO(self.blob(layer))) as content:
                yield from ((content, member) for member in content)

    def unpack(self, root):
        """As root with the owners that the image gives its files, otherwise as whoever we are."""
        for content, member in self.members():
            content.extract(member, root, set_attrs=True)


# === the neighbours ===


def raise_loopback():
    """What a pod has from its beginning (netdevice(7))."""
    up, get_flags, set_flags = 0x1, 0x8913, 0x8914
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = bytearray(fcntl.ioctl(any_socket, get_flags, struct.pack("16sH22x", b"lo", 0)))
        [flags] = struct.unpack_from("H", request, 16)
        struct.pack_into("H", request, 16, flags | up)
        fcntl.ioctl(any_socket, set_flags, bytes(request))


def name_of(question):
    """The name in the first question of a DNS message, and where it ends (RFC 1035 section 4.1.2)."""
    labels, at = [], 12
    while length := question[at]:
        labels.append(question[at + 1 : at + 1 + length].decode())
        at += 1 + length
    return ".".join(labels), at + 1


def serve_names(server):
    """Knows one name, and of that an address of version 4."""
    while True:
        question, asker = server.recvfrom(1024)
        name, end = name_of(question)
        [kind] = struct.unpack_from("!H", question, end)
        questions.append(name)
        known, wants_address = name == NAMED, kind == 1
        flags = 0x8180 if known else 0x8183
        answers = 1 if known and wants_address else 0
        head = question[:2] + struct.pack("!5H", flags, 1, answers, 0, 0) + question[12 : end + 4]
        answer = struct.pack("!3HIH4B", 0xC00C, 1, 1, 60, 4, 127, 0, 0, 1) if answers else b""
        server.sendto(head + answer, asker)


class Flexslot(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        requests.append([self.headers["host"], self.path, self.headers["authorization"]])
        body = b'{"count":0,"next":null,"previous":null,"results":[]}'
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def start_neighbours(certificate, key):
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind(("127.0.0.1", 53))
    flexslot = http.server.ThreadingHTTPServer(("127.0.0.1", 443), Flexslot)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    flexslot.socket = tls.wrap_socket(flexslot.socket, server_side=True)
    for serve, argument in [(serve_names, names), (http.server.HTTPServer.serve_forever, flexslot)]:
        threading.Thread(target=serve, args=(argument,), daemon=True).start()


# === the container ===


class Container:
    def __init__(self, directory, image, authorities):
        self.root, self.volume = directory / "root", directory / "volume"
        self.image, self.authorities = image, directory / "authorities"
        self.hosts, self.resolver = directory / "hosts", directory / "resolv.conf"
        self.root.mkdir()
        image.unpack(self.root)
        self.volume.mkdir(mode=0o700)
        self.authorities.write_bytes(pathlib.Path(authorities).read_bytes())
        self.hosts.write_text(f"127.0.0.1 localhost\n127.0.0.1 {LISTED}\n")
        self.resolver.write_text("nameserver 127.0.0.1\n")
        # Whoever is root becomes the image's user before anything of the image runs; for others that number is theirs alone inside.
        self.become = []
        if os.getuid() == 0 and can_become(USER):
            self.become = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs"]
            for path in (directory, self.volume):
                os.chown(path, USER, USER)

    def command(self, arguments, environment, options=()):
        config = self.image.config["config"]
        given = dict(line.split("=", 1) for line in config["Env"]) | environment
        mounts = ["--ro-bind", self.root, "/", "--proc", "/proc", "--dev", "/dev", "--bind", self.volume, STATE]
        for source, place in [
            (self.hosts, "/etc/hosts"),
            (self.resolver, "/etc/resolv.conf"),
            (self.authorities, "/etc/ssl/certs/ca-certificates.crt"),
        ]:
            mounts += ["--ro-bind", source, place]
        user = ["--unshare-user", "--uid", str(USER), "--gid", str(USER), "--unshare-ipc", "--unshare-uts", "--cap-drop", "ALL"]
        variables = [word for name, value in given.items() for word in ("--setenv", name, value)]
        program = config["Entrypoint"] + arguments
        return [*self.become, "bwrap", *user, "--die-with-parent", "--clearenv", *options, *variables, *mounts, *program]

    def run(self, *arguments, environment=None, given=""):
        command = self.command(list(arguments), environment or {})
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=False)
        return {"status": done.returncode, "said": (done.stdout + done.stderr).strip()}

    @contextlib.contextmanager
    def serving(self, environment):
        """Serves until the end of the block, and ends as a pod's container does: by SIGTERM."""
        told, tell = os.pipe()
        command = self.command([], environment, ["--info-fd", str(tell)])
        around = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, pass_fds=[tell])
        os.close(tell)
        lines = []
        try:
            for line in around.stderr:
                lines.append(line)
                if "is listening" in line:
                    break
            else:
                sys.exit(f"the sidecar has not begun to listen:\n{''.join(lines)}")
            threading.Thread(target=around.stderr.read, daemon=True).start()
            yield
            with os.fdopen(told) as info:
                os.kill(json.load(info)["child-pid"], signal.SIGTERM)
            endings.append(around.wait(timeout=60))
        finally:
            around.kill()


def can_become(user):
    """Whether this namespace has that user: one that `unshare --map-root-user` has made has none but root."""
    spans = [line.split() for line in pathlib.Path("/proc/self/uid_map").read_text().splitlines()]
    return any(int(first) <= user < int(first) + int(count) for first, _, count in spans)


def ask(tenant=None):
    connection = http.client.HTTPConnection("localhost", 3539, timeout=60)
    connection.request("GET", "/api/public/v1/decks/", headers={"x-flexslot-tenant": tenant} if tenant else {})
    response = connection.getresponse()
    return [response.status, response.read().decode()]


def contents(image):
    """What can be run, whom the image trusts, and to whom the place for its state belongs."""
    seen = {"programs": []}
    for content, member in image.members():
        if member.isfile() and member.mode & 0o111:
            seen["programs"].append([member.name, member.uid, f"{member.mode & 0o7777:o}"])
        if member.name.endswith("/ca-certificates.crt"):
            seen["authorities"] = content.extractfile(member).read().count(b"BEGIN CERTIFICATE")
        if f"/{member.name}" == STATE:
            seen["state"] = [member.uid, f"{member.mode & 0o7777:o}"]
    return seen


def main(archive, certificate, key, authorities):
    raise_loopback()
    start_neighbours(certificate, key)
    image = Image(archive)
    seen = {"config": image.config["config"], **contents(image)}
    with tempfile.TemporaryDirectory() as directory:
        pod = Container(pathlib.Path(directory), image, authorities)
        seen["version"] = pod.run("--version")
        by_nameserver = {"FLEXSLOT_PROXY_UPSTREAM": f"https://{NAMED}", "FLEXSLOT_PAT": PAT}
        with pod.serving(by_nameserver):
            seen["by_nameserver"] = ask()
            seen["health"] = pod.run("health")
        seen["health_of_none"] = pod.run("health")
        seen["questions"] = sorted(set(questions))

        by_hosts_file = {"FLEXSLOT_PROXY_UPSTREAM": f"https://{LISTED}"}
        seen["stored"] = pod.run("tenant", "set-pat", "acme", environment=by_hosts_file, given=PAT)
        with pod.serving(by_hosts_file):
            seen["by_hosts_file"] = ask("acme")
        seen["kept"] = sorted(path.name for path in pod.volume.iterdir())
        seen["elsewhere"] = pod.run("tenant", "set-pat", "acme", "--store", "sqlite:/usr/elsewhere.db", given=PAT)
    seen |= {"requests": requests, "endings": endings}
    json.dump(seen, sys.stdout)


main(*sys.argv[1:])
