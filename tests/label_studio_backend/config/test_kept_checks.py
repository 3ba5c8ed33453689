from __future__ import annotations

import threading

import pytest

from label_studio_backend.config import lint as module
from label_studio_backend.config.lint import kept_checks
from label_studio_backend.server.admission import ConcurrencyLimit
from pam_labeling.errors import BusyError

CONFIG = """<View><Image name="image" value="$image"/>
<BrushLabels name="brush" toName="image" smart="true"><Label value="{}"/></BrushLabels>
<Choices name="class" toName="image" perRegion="true"><Choice value="{}"/></Choices></View>"""
GOOD = CONFIG.format("cat", "dog")


@pytest.fixture
def counted(monkeypatch):
    """The arguments of the checks that were really made."""
    made = []
    check = module.check_project
    monkeypatch.setattr(module, "check_project", lambda *given: made.append(given) or check(*given))
    return made


def test_the_same_texts_are_checked_once(counted):
    check = kept_checks()
    first = check(GOOD, {"language": "zh"})
    assert check(GOOD + "", {"language": "zh"}) is first
    assert first.options.language == "zh"
    assert len(counted) == 1


@pytest.mark.parametrize("extra_params", [None, {}, {"language": "en"}, '{"language": "zh"}', [1]])
def test_other_parameters_are_another_check(counted, extra_params):
    check = kept_checks()
    check(GOOD, {"language": "zh"})
    check(GOOD, extra_params)
    assert len(counted) == 2


def test_what_cannot_be_used_is_found_again(counted):
    check = kept_checks()
    for _ in range(2):
        checked = check("<View", {"x": 1})
        assert 'no extra parameter "x"' in checked.problem
        assert len(checked.findings.errors) == 2
    assert len(counted) == 1


def test_a_bounded_number_is_kept(counted, monkeypatch):
    size = len(repr(module.check_project(CONFIG.format("a", "x"), None)))
    monkeypatch.setattr(module, "_MOST", 2 * size)
    counted.clear()
    check = kept_checks()
    for label in ("a", "b", "a", "c", "a", "b"):
        check(CONFIG.format(label, "x"), None)
    assert len(counted) == 4


def test_a_limit_counts_only_the_checks_that_are_made():
    limit = ConcurrencyLimit(1, "new configs")
    check = kept_checks(limit.slot)
    check(GOOD, None)
    with limit.slot():
        check(GOOD, None)
        with pytest.raises(BusyError):
            check(GOOD, {"language": "zh"})
    check(GOOD, {"language": "zh"})


def test_hints_without_end_are_counted():
    tags = "".join(f'<Vector name="c{n}" toName="image"/>' for n in range(200))
    xml = GOOD.replace("</View>", f"{tags}</View>")
    check = kept_checks()
    usual = len(check(GOOD, None).findings.hints)
    hints = check(xml, None).findings.hints
    assert len(hints) == module._MOST_HINTS + 1
    assert hints[-1] == f"There are {150 + usual} more hints."


def test_nobody_waits_for_the_check_of_another_config_and_the_same_is_waited_for(monkeypatch):
    go, begun = threading.Event(), threading.Event()
    really = module.check_project

    def slow(xml, extra_params):
        if "slow" in xml:
            begun.set()
            assert go.wait(30)
        return really(xml, extra_params)

    monkeypatch.setattr(module, "check_project", slow)
    check = kept_checks()
    found = []
    large = CONFIG.format("slow", "x")
    threads = [threading.Thread(target=lambda: found.append(check(large, None))) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert begun.wait(30)
    check(GOOD, None)
    assert found == []
    go.set()
    for thread in threads:
        thread.join()
    assert found[0] is found[1]


def test_an_error_nobody_thought_of_is_not_kept(monkeypatch):
    answers = iter([ZeroDivisionError(), module.check_project(GOOD, None)])

    def answer(*_):
        found = next(answers)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(module, "check_project", answer)
    check = kept_checks()
    with pytest.raises(ZeroDivisionError):
        check(GOOD, None)
    assert check(GOOD, None).findings.errors == ()


@pytest.mark.parametrize(("label", "choice"), [("word " * 200, "x"), ("x", "word " * 200)])
def test_labels_with_too_many_tokens_are_found_by_the_models_tokenizer(annotator, label, choice):
    checked = kept_checks()(CONFIG.format(label, choice), None)
    assert checked.too_long(None) is None
    assert checked.too_long(annotator).startswith('The label "word word')
    assert "predicted_values" in checked.too_long(annotator)


def test_labels_that_are_not_scored_may_be_long(annotator):
    xml = CONFIG.format("word " * 200, "x").replace('name="class"', 'name="notes"')
    assert kept_checks()(xml, {"labels": "open"}).too_long(annotator) is None
    shortened = xml.replace("<Label ", '<Label predicted_values="word" ')
    assert kept_checks()(shortened, None).too_long(annotator) is None
    assert kept_checks()(xml, None).too_long(annotator) is not None
