"""Which hosts are asked for media, with which token, also after redirects."""

from __future__ import annotations

import pytest

from label_studio_backend.media.ssrf import RequestPolicy
from label_studio_backend.media.task_media import Access, MediaError, TaskMedia
from label_studio_backend.media.urls import Url
from label_studio_backend.settings import ServerSettings
from pam_labeling.errors import InputError
from tests.label_studio_backend.media.asked import LEGACY, NOBODY, STRANGER, UPLOAD, guarded, sent
from tests.label_studio_backend.web import TLS, running


def test_without_any_label_studio_its_addresses_cannot_be_had(media):
    with pytest.raises(MediaError, match="set LABEL_STUDIO_URL"):
        media().image(UPLOAD, NOBODY)


def test_an_unknown_host_is_refused_before_it_is_looked_up(media, server, internet, other):
    internet.host("evil.example", other)
    with pytest.raises(MediaError, match=r"not fetched from http://evil\.example.*PAM_ALLOWED"):
        media(server).image("http://evil.example/x.jpg?secret", NOBODY)
    assert internet.asked == []


def test_the_host_of_label_studio_on_another_port_or_path_is_another_host(media, server, other):
    images = media(label_studio_url=f"{server.url}/label-studio", api_key=LEGACY)
    for url in (f"{other.url}/x.jpg", f"{server.url}/x.jpg", f"{server.url}/label-studio-2/x.jpg"):
        with pytest.raises(MediaError, match="are not fetched from"):
            images.image(url, NOBODY)
    assert server.requests == other.requests == []


def test_an_allowed_host_gets_no_token_and_may_be_private_if_named_exactly(media, server, other):
    images = media(server, allowed_hosts=(f"127.0.0.1:{other.port}",))
    assert images.image(f"{other.url}/x.jpg", Access(other.url, STRANGER)) == b"elsewhere"
    assert sent(other) == [None]


def test_a_host_that_a_wildcard_allows_must_be_public(media, internet, other):
    internet.host("public.example.org", other)
    internet.names["inside.example.org"] = ["10.0.0.1"]
    images = media(allowed_hosts=("*.example.org",))
    assert images.image("http://public.example.org/x.jpg", NOBODY) == b"elsewhere"
    with pytest.raises(MediaError, match="a private address"):
        images.image("http://inside.example.org/x.jpg", NOBODY)


def test_the_token_goes_only_to_addresses_of_images(media, server):
    server.serve("/other.jpg")
    assert media(server).image(f"{server.url}/other.jpg", NOBODY) == b"image"
    assert sent(server) == [None]


def test_the_administrator_s_token_is_not_sent_to_the_host_that_a_request_names(
    media, server, other
):
    guarded(server, UPLOAD)
    images = media(server)
    assert images.image(UPLOAD, Access(other.url, STRANGER)) == b"image"
    assert sent(server) == [f"Token {LEGACY}"]
    assert other.requests == []


def test_a_token_without_an_address_is_refused_because_it_has_nowhere_to_go():
    with pytest.raises(MediaError, match="set the address too"):
        TaskMedia(ServerSettings(api_key=LEGACY))


def test_the_request_s_token_is_used_for_the_configured_host_if_the_request_names_it(media, server):
    guarded(server, UPLOAD, header=f"Token {STRANGER}")
    images = media(server, api_key=None)
    assert images.image(UPLOAD, Access(f"{server.url}/", STRANGER)) == b"image"
    with pytest.raises(MediaError, match="set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY"):
        images.image(UPLOAD, Access("http://label-studio.example", STRANGER))
    assert sent(server) == [f"Token {STRANGER}", None]


def test_the_name_that_label_studio_has_for_itself_leads_to_the_configured_address(media, server):
    guarded(server, f"/ls{UPLOAD}")
    images = media(label_studio_url=f"{server.url}/ls", api_key=LEGACY)
    access = Access("https://labels.example.org/outside", None)
    url = f"https://labels.example.org/outside{UPLOAD}"
    assert images.image(url, access) == b"image"
    assert images.image(url.replace("https", "http"), access) == b"image"
    with pytest.raises(MediaError, match="are not fetched from"):
        images.image(f"https://labels.example.org:8443/outside{UPLOAD}", access)
    with pytest.raises(MediaError, match="are not fetched from"):
        images.image(f"https://labels.example.org{UPLOAD}", access)


def test_a_request_cannot_rename_an_allowed_host_to_label_studio(media, server, internet, other):
    internet.host("images.example.org", other)
    other.serve(UPLOAD, b"elsewhere")
    images = media(server, allowed_hosts=("images.example.org",))
    access = Access("http://images.example.org", None)
    assert images.image(f"http://images.example.org{UPLOAD}", access) == b"elsewhere"
    assert server.requests == []


def test_http_and_https_of_the_configured_host_are_the_same(media, server, internet):
    internet.host("labels.example.org", server)
    guarded(server, UPLOAD)
    images = media(label_studio_url="http://labels.example.org", api_key=LEGACY)
    assert images.image(f"https://labels.example.org{UPLOAD}", NOBODY) == b"image"


def test_without_a_configured_one_the_public_label_studio_of_the_request_is_asked(
    media, server, internet
):
    internet.host("labels.example.org", server)
    guarded(server, UPLOAD, header=f"Token {STRANGER}")
    access = Access("http://labels.example.org", STRANGER)
    assert media().image(UPLOAD, access) == b"image"


def test_without_a_configured_one_a_private_label_studio_is_refused(media, server):
    with pytest.raises(MediaError, match="LABEL_STUDIO_URL if this is the Label Studio"):
        media().image(UPLOAD, Access(server.url, STRANGER))
    assert server.requests == []


def test_a_private_label_studio_of_the_request_may_be_an_allowed_host(media, server):
    guarded(server, UPLOAD, header=f"Token {STRANGER}")
    images = media(allowed_hosts=(f"127.0.0.1:{server.port}",))
    assert images.image(UPLOAD, Access(server.url, STRANGER)) == b"image"


@pytest.mark.parametrize("host", ["labels.example.org", "file:///", "http://a:b@labels.example"])
def test_a_malformed_host_of_a_request_is_named_where_it_is_needed(media, server, host):
    with pytest.raises(MediaError, match="the host name that Label Studio sent"):
        media().image(UPLOAD, Access(host, STRANGER))
    guarded(server, UPLOAD)
    assert media(server).image(UPLOAD, Access(host, STRANGER)) == b"image"


@pytest.mark.parametrize("url", ["labels.example.org", "ftp://labels.example.org", "http://a:b@c"])
def test_a_malformed_setting_is_named(url):
    with pytest.raises(InputError, match="LABEL_STUDIO_URL"):
        TaskMedia(ServerSettings(label_studio_url=url))
    with pytest.raises(MediaError, match="allowed host"):
        TaskMedia(ServerSettings(allowed_hosts=("*",)))


def test_the_environment_s_certificates_are_trusted(media, server, internet, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(TLS / "certificate.pem"))
    internet.names["pictures.test"] = ["127.0.0.1"]
    with running(tls=True) as secure:
        guarded(secure, UPLOAD)
        images = media(label_studio_url=f"https://pictures.test:{secure.port}", api_key=LEGACY)
        assert images.image(UPLOAD, NOBODY) == b"image"


def test_missing_certificates_are_named(monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/not/there.pem")
    with pytest.raises(MediaError, match="REQUESTS_CA_BUNDLE names /not/there.pem"):
        TaskMedia(ServerSettings())


def test_settings_and_access_do_not_show_tokens():
    settings = ServerSettings(label_studio_url="http://a.example", api_key=LEGACY)
    assert LEGACY not in repr(settings) + repr(Access("http://a.example", LEGACY))


def test_label_studio_s_presigned_links_are_followed_without_the_token(
    media, server, internet, other
):
    internet.host("bucket.s3.example", other)
    other.serve("/x.jpg", b"from the cloud")
    server.redirect("/tasks/7/resolve/", "http://bucket.s3.example/x.jpg?X-Amz-Signature=1", 303)
    assert media(server).image("s3://bucket/x.jpg", NOBODY, 7) == b"from the cloud"
    assert (sent(server), sent(other)) == ([f"Token {LEGACY}"], [None])


def test_label_studio_does_not_redirect_to_private_addresses(media, server, internet, other):
    internet.names["inside.example"] = ["127.0.0.1"]
    images = media(server)
    for location in (f"{other.url}/x.jpg", f"http://inside.example:{other.port}/x.jpg"):
        server.redirect("/tasks/7/resolve/", location, 303)
        with pytest.raises(MediaError, match="a loopback address"):
            images.image("s3://bucket/x.jpg", NOBODY, 7)
    server.redirect("/tasks/7/resolve/", "http://169.254.169.254/latest/meta-data/", 303)
    with pytest.raises(MediaError, match="a cloud metadata address"):
        images.image("s3://bucket/x.jpg", NOBODY, 7)
    assert other.requests == []


def test_label_studio_may_redirect_to_an_allowed_private_storage(media, server, other):
    server.redirect("/tasks/7/resolve/", f"{other.url}/x.jpg", 303)
    images = media(server, allowed_hosts=(f"127.0.0.1:{other.port}",))
    assert images.image("s3://bucket/x.jpg", NOBODY, 7) == b"elsewhere"
    assert sent(other) == [None]


def test_a_redirect_within_label_studio_keeps_the_token(media, server):
    server.redirect(UPLOAD, "/storage-data/uploaded/?filepath=x")
    guarded(server, "/storage-data/uploaded/")
    assert media(server).image(UPLOAD, NOBODY) == b"image"


def test_an_allowed_host_redirects_only_to_allowed_hosts(media, internet, other):
    internet.host("images.example.org", other)
    internet.host("public.example", other, "93.184.215.15")
    other.redirect("/y.jpg", "http://public.example/x.jpg")
    with pytest.raises(MediaError, match=r"not fetched from http://public\.example"):
        media(allowed_hosts=("images.example.org",)).image(
            "http://images.example.org/y.jpg", NOBODY
        )
    images = media(allowed_hosts=("images.example.org", "public.example"))
    assert images.image("http://images.example.org/y.jpg", NOBODY) == b"elsewhere"


def test_an_allowed_host_does_not_redirect_into_label_studio_with_its_token(media, server, other):
    guarded(server, UPLOAD)
    other.redirect("/y.jpg", server.url + UPLOAD)
    with pytest.raises(MediaError, match="401"):
        media(server, allowed_hosts=(f"127.0.0.1:{other.port}",)).image(
            f"{other.url}/y.jpg", NOBODY
        )
    assert sent(server) == [None]


def test_a_redirect_to_the_login_page_is_about_the_token(media, server):
    server.redirect(UPLOAD, f"/user/login/?next={UPLOAD}")
    with pytest.raises(MediaError, match="wants a login: set LABEL_STUDIO_API_KEY"):
        media(server).image(UPLOAD, NOBODY)


def permit(images, url, previous, access=NOBODY):
    policy = RequestPolicy(images._site(access), images._allowed, Url.parse(previous))
    return policy.permit(Url.parse(url), policy.start, float("inf"))


def test_a_redirect_from_https_to_http_is_for_allowed_hosts_only(media):
    images = media(
        label_studio_url="https://labels.example.org",
        api_key=LEGACY,
        allowed_hosts=("minio.example.org",),
    )
    upload = f"https://labels.example.org{UPLOAD}"
    with pytest.raises(MediaError, match="from https to http"):
        permit(images, "http://bucket.example/x", upload)
    with pytest.raises(MediaError, match="from https to http"):
        permit(images, f"http://labels.example.org{UPLOAD}", upload)
    assert permit(images, "http://minio.example.org/x", upload).authorization is None
    assert permit(images, upload, upload).authorization == f"Token {LEGACY}"


def test_a_redirect_from_http_to_https_of_label_studio_keeps_the_token(media):
    images = media(label_studio_url="http://labels.example.org", api_key=LEGACY)
    https, http = (f"{scheme}://labels.example.org{UPLOAD}" for scheme in ("https", "http"))
    assert permit(images, https, http).authorization == f"Token {LEGACY}"
    assert permit(images, https.replace("org", "org:8443"), http).authorization is None
