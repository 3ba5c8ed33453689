from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from label_studio_backend.config.labeling_config import LabelingConfig
from label_studio_backend.config.lint import LintReport, check_config, check_project
from label_studio_backend.config.options import Options
from label_studio_backend.config.output_mapping import MAX_CHOICES
from pam_model.tasks import Task

FIXTURES = Path(__file__).parents[1] / "fixtures"
LABELS = '<Label value="cat"/><Label value="dog"/>'
BRUSH = f'<BrushLabels name="brush" toName="image" smart="false">{LABELS}</BrushLabels>'
POINT = (
    '<KeyPointLabels name="kp" toName="image" smart="true"><Label value="cat"/></KeyPointLabels>'
)
GOOD = BRUSH + POINT
REGION = 'toName="image" perRegion="true"'
HIDDEN = 'visibleWhen="region-selected" whenTagName="another"'


def check(tags: str, **options) -> LintReport:
    xml = f'<View><Image name="image" value="$image"/>{tags}</View>'
    return check_config(LabelingConfig.parse(xml), Options(**options))


def test_nothing_is_found_where_nothing_is_wrong():
    assert check(GOOD) == LintReport((), ())


def test_every_image_is_checked():
    two = '<Image name="two" value="$b"/><KeyPoint name="p" toName="two" smart="true"/>'
    assert any('Only KeyPoint "p" can hold' in hint for hint in check(GOOD + two).hints)
    text = '<TextArea name="caption" toName="two" perRegion="true"/>'
    assert not any(
        "option tasks" in hint for hint in check(GOOD + two + text, tasks=("brief",)).hints
    )


def test_the_option_output_cannot_name_what_a_repeater_repeats():
    xml = (
        '<View><Repeater on="$p"><Image name="i{{idx}}" value="$p[{{idx}}]"/>'
        '<Brush name="b{{idx}}" toName="i{{idx}}" smart="true"/></Repeater></View>'
    )
    assert check_project(xml, None).findings.errors == ()
    [error] = check_project(xml, {"output": "b{{idx}}"}).findings.errors
    assert error.startswith('The option output names "b{{idx}}", which <Repeater> repeats')


@pytest.mark.parametrize("name", ["setup_image_brush.json", "setup_image_polygon.json"])
def test_the_projects_of_the_fixtures_can_be_answered(name):
    xml = json.loads((FIXTURES / name).read_text())["json"]["schema"]
    assert check_project(xml, None).findings.errors == ()


@pytest.mark.parametrize(
    ("tags", "hint"),
    [
        (
            GOOD.replace('name="kp" toName="image" smart="true"', 'name="kp" toName="image"'),
            'KeyPointLabels "kp" has no smart="true"',
        ),
        (
            BRUSH + POINT.replace("</Key", '<Label value="Background"/></Key'),
            'KeyPointLabels "kp" has the label "Background", .* its clicks alone. Use Alt.click',
        ),
        (
            GOOD.replace('smart="false"', ""),
            'BrushLabels "brush" has a smart brush, which Label Studio never asks about',
        ),
        (
            GOOD.replace(
                'name="kp" toName="image" smart="true"', 'name="kp" toName="image" smart="false"'
            ),
            'KeyPointLabels "kp" has smart="false", so annotators cannot prompt with it.',
        ),
        (
            f'<PolygonLabels name="p" toName="image">{LABELS}</PolygonLabels>',
            'Clicks cannot be answered.*<KeyPoint name="point" toName="image" smart',
        ),
        (
            GOOD + '<Video name="v" value="$v"/>',
            'Video "v" is not answered: video is not supported yet',
        ),
        (
            GOOD + '<Image name="pages" valueList="$p"/>',
            'Image "pages" is not answered: no tag on it can hold a shape',
        ),
        (
            GOOD + '<Image name="empty"/>',
            'Image "empty" is not answered: it needs a name, and value="\\$image"',
        ),
        (
            GOOD + '<Brush name="b2" toName="other,image" smart="true"/>',
            r'Brush "b2" is on several tags \(toName="other,image"\), for which .* no tools',
        ),
        (
            GOOD.replace("<BrushLabels", '<BrushLabels pam_lang="zh"'),
            "<BrushLabels> has the unknown attribute pam_lang; did you mean pam_language",
        ),
        (
            GOOD + '<EllipseLabels name="e" toName="image"/>',
            'EllipseLabels "e" has no <Label>, so its regions get no label.',
        ),
        (
            '<BrushLabels name="b" toName="image" smart="true"><Label value="背景"/></BrushLabels>',
            'BrushLabels "b" has only labels called background',
        ),
        (
            '<Brush name="b" toName="image" smart="true"/>',
            'Brush "b" has no labels, and no <Labels> with labels has toName="image"',
        ),
        (
            BRUSH + POINT.replace('"cat"', '"bird"'),
            'BrushLabels "brush" lacks the label "bird" of KeyPointLabels "kp"',
        ),
        (
            BRUSH
            + POINT.replace(
                '<Label value="cat"/>', "".join(f'<Label value="{n}"/>' for n in range(5))
            ),
            'lacks the labels "0", "1", "2" and 2 more of KeyPointLabels',
        ),
        (GOOD + '<MagicWand name="m" toName="image"/>', 'MagicWand "m" is not answered'),
        (
            f'<TextArea name="caption" toName="image"/><Choices name="class" {REGION}/>',
            'Choices "class" has perRegion="true", so it is left alone: no tag can hold the shape',
        ),
        (
            f'<Choices name="choice" toName="image" value="$x"/><TextArea name="label" {REGION}/>',
            'TextArea "label" has perRegion="true", so it is left alone: no tag can hold the shape',
        ),
        (
            f'{GOOD}<TextArea name="notes" {REGION}/>',
            'Neither the name of TextArea "notes" nor an attribute says which .* add pam="brief"',
        ),
        (
            GOOD + '<TextArea name="caption" toName="image"/>',
            'TextArea "caption" has no perRegion="true", so it is left alone',
        ),
        (
            f'{GOOD}<Choices name="class" toName="image"><Choice value="a"/></Choices>',
            'Choices "class" has no perRegion="true", so it is left alone',
        ),
        (
            f'{GOOD}<Choices name="class" {REGION} allowNested="true"/>',
            'Choices "class" has allowNested="true", so it is left alone; use a <Taxonomy>',
        ),
        (f'{GOOD}<Taxonomy name="class" {REGION}/>', 'Taxonomy "class" has no <Choice>'),
        (
            f'{GOOD}<Choices name="class" {REGION}>'
            + "".join(f'<Choice value="{n}"/>' for n in range(MAX_CHOICES + 1))
            + "</Choices>",
            'Choices "class" has 2,001 choices, so it is left alone: at most 2,000',
        ),
        (
            f'{GOOD}<TextArea name="caption" {REGION} whenLabelValue="zebra"/>',
            'TextArea "caption" is left alone: its visibleWhen, whenTagName, whenLabelValue or',
        ),
        (
            f"{BRUSH}<View {HIDDEN}><TextArea name='brief' {REGION}/></View>",
            'TextArea "brief" is left alone: .* or those of a View around it, hide it',
        ),
        (POINT, 'Only KeyPointLabels "kp" can hold a shape, so answers are single points'),
    ],
)
def test_a_hint_says_what_will_be_missing(tags, hint):
    findings = check(tags)
    assert findings.errors == ()
    assert len(findings.hints) >= 1
    assert any(re.search(hint, sentence) for sentence in findings.hints), findings.hints


@pytest.mark.parametrize(
    "tags",
    [
        GOOD + f'<RectangleLabels name="box" toName="image">{LABELS}</RectangleLabels>',
        f'{GOOD}<TextArea name="a" pam="brief" {REGION}/><TextArea name="b" pam="brief" {REGION}/>',
        f'{GOOD}<TextArea name="notes" pam="off" {REGION}/>',
        f'{GOOD}<TextArea name="caption" {REGION} whenLabelValue="dog,zebra"/>',
        f'{GOOD}<TextArea name="caption" {REGION} visibleWhen="choice-unselected"/>',
        GOOD + '<TextArea name="comments" toName="image"/>',
        '<TextArea name="caption" toName="image" rows="5" maxSubmissions="1"/>',
        '<Choices name="choice" toName="image"><Choice value="Weapons"/></Choices>',
        BRUSH.replace("</Brush", '<Label value="background"/></Brush') + POINT,
    ],
)
def test_what_is_meant_so_gets_no_hint(tags):
    assert check(tags) == LintReport((), ())


def test_a_background_that_cannot_be_clicked_with_gets_no_hint():
    labels = f'{LABELS}<Label value="background"/>'
    by_hand = f'<KeyPointLabels name="k" toName="image" smart="false">{labels}</KeyPointLabels>'
    assert not any("Alt+click" in hint for hint in check(GOOD + by_hand).hints)


def test_a_task_that_no_text_area_asks_for_gets_a_hint():
    findings = check(f'{GOOD}<TextArea name="caption" {REGION}/>', tasks=(Task.BRIEF, Task.LABEL))
    (hint,) = findings.hints
    assert hint.startswith('The option tasks has "label", but no TextArea')
    assert findings == ((), (hint,))


@pytest.mark.parametrize(
    ("tags", "options", "error"),
    [
        ("", {}, 'No tag on the image "image" can hold a shape'),
        (GOOD, {"output": "mask"}, "The option output must name a tag"),
        (GOOD, {"labels": "open", "mapping": {"a": "b"}}, 'The option mapping turns "a" into "b"'),
        (
            f'{GOOD}<TextArea name="t" {REGION} pam="x"/>',
            {},
            'In TextArea "t", pam must be',
        ),
        (
            f'{GOOD}<TextArea name="t" toName="image" pam="x"/>',
            {},
            'In TextArea "t", pam must be',
        ),
        (
            f'{GOOD}<Choices name="c" toName="image" pam="x"/>',
            {},
            'In Choices "c", pam must be',
        ),
    ],
)
def test_an_error_says_why_nothing_can_be_answered(tags, options, error):
    findings = check(tags, **options)
    assert len(findings.errors) == 1
    assert findings.errors[0].startswith(error)


def test_a_setup_that_cannot_be_read_is_told_in_full():
    findings = check_project("<View>", {"langauge": "en"}).findings
    assert len(findings.errors) == 2
    assert 'Did you mean "language"' in findings.errors[0]
    assert "not valid XML" in findings.errors[1]
    assert findings.hints == ()


def test_a_video_project_is_told_that_video_is_not_supported():
    xml = json.loads((FIXTURES / "setup_video.json").read_text())["json"]["schema"]
    (error,) = check_project(xml, None).findings.errors
    assert "video, which is not supported yet" in error


def test_wrong_options_do_not_hide_what_the_config_lacks():
    xml = f'<View><Image name="image" value="$i"/>{GOOD}<TextArea name="n" {REGION}/></View>'
    findings = check_project(xml, {"x": 1}).findings
    assert len(findings.errors) == 1
    assert len(findings.hints) == 1
