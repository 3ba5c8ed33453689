"""Tokens, addresses and answers of the servers that are asked for media."""

from __future__ import annotations

from label_studio_backend.media.task_media import Access, TaskMedia

LEGACY = 20 * "ab"
STRANGER = 20 * "cd"
UPLOAD = "/data/upload/1/314f5194-small.jpg"
NOBODY = Access(None, None)


class Media(TaskMedia):
    """Task media whose files are read at once."""

    def image(self, *args, **kwargs):
        return self.file(*args, **kwargs).read()


def guarded(server, path, body=b"image", header=f"Token {LEGACY}", refusal=401, **headers):
    """Serve a path to those who send the right header only."""

    def answer(request):
        right = request.headers.get("Authorization") == header
        request.answer(body if right else b"", status=200 if right else refusal, **headers)

    server.routes[path] = answer


def sent(server):
    return [request.headers.get("Authorization") for request in server.requests]
