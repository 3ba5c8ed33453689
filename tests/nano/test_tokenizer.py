"""nano's tokenizer reads any text, and its own texts in few ids."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from pam_model.checkpoints.checkpoint import load_tokenizer as load_checkpoint_tokenizer
from pam_model.nano.texts import Facts, answer
from pam_model.nano.tokenizer import SPECIAL_TOKENS, VOCABULARY_SIZE, train_tokenizer
from pam_model.tasks import BEFORE_REGION, END, LANGUAGES, Question, Task, after_region


@given(st.text())
@example("  two  spaces\n\n and tabs\t")
@example("星形 🎉 naïve Ünïcödé \x00")
@example("isn't <|im_end|> 12345")
def test_any_text_comes_back_as_it_went_in(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(ids) == text


def test_ids_fit_the_embedding(tokenizer):
    assert len(tokenizer) <= VOCABULARY_SIZE
    assert max(tokenizer.get_vocab().values()) < VOCABULARY_SIZE


def test_markup_is_one_id_each_and_can_be_left_out(tokenizer):
    for number, token in enumerate(SPECIAL_TOKENS):
        assert tokenizer.encode(token, add_special_tokens=False) == [number]
    ids = tokenizer.encode(f"a star{END}", add_special_tokens=False)
    assert tokenizer.decode(ids, skip_special_tokens=True) == "a star"


def test_texts_of_the_drawn_world_are_short(tokenizer):
    facts = Facts(shape=4, colour=6, texture=3, size=1, place=2, ground=4)
    lengths = {
        question: len(tokenizer.encode(answer(facts, question), add_special_tokens=False))
        for question in (Question(task, language) for task in Task for language in LANGUAGES)
    }
    assert all(lengths[Question(Task.LABEL, language)] == 1 for language in LANGUAGES)
    assert all(lengths[Question(Task.BRIEF, language)] <= 8 for language in LANGUAGES)
    assert all(lengths[Question(Task.DETAILED, language)] <= 32 for language in LANGUAGES)
    assert len(tokenizer.encode(BEFORE_REGION, add_special_tokens=False)) <= 24
    question = after_region(Question(Task.LABEL).text)
    assert len(tokenizer.encode(question, add_special_tokens=False)) <= 24


def test_training_it_again_gives_the_same_tokenizer():
    assert train_tokenizer().to_str() == train_tokenizer().to_str()


def test_checkpoints_load_it(tokenizer_folder):
    loaded = load_checkpoint_tokenizer(tokenizer_folder, VOCABULARY_SIZE)
    assert loaded.encode(END, add_special_tokens=False) == [SPECIAL_TOKENS.index(END)]
