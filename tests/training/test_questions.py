"""Question answering: data, batches, the decoder, and a model that is trained, exported, served and asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from artoveq.cli import app
from artoveq.evaluation import evaluate, evaluate_through_server
from artoveq.exporting import export_measured
from tests.inference_server.serving import serving
from tests.training.asked import FewBlocks, recipe, write_questions
from training.backbones import BACKBONES
from training.backbones.transformer import MobileNetV2Transformer, keep_tokens
from training.data import load_split
from training.prepare import make_views
from training.questions import NO_ANSWER
from training.recipe import checked_recipe, read_recipe
from training.stages import train, trained_model
from training.tasks import TASKS
from training.tasks.question_answering import QuestionDecoder
from training.templates import templated
from training.views import Batch, drawn_questions
from wire.artifact import Artifact
from wire.exceptions import DataError, RecipeError

RECIPE = read_recipe(Path("training/recipes/easyvqa64-transformer-aligned.toml"))
TASK = TASKS["question answering"]


@pytest.fixture(scope="module", autouse=True)
def few_blocks() -> Iterator[None]:
    BACKBONES["few blocks"] = FewBlocks()
    yield
    del BACKBONES["few blocks"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_questions(tmp_path_factory.mktemp("questions"))


def test_questions_are_read_in_the_words_and_answers_of_the_training_set(data: str) -> None:
    split = load_split(data, "test")
    assert split.classes == ("yes", "no", "red", "blue") and split.questions is not None and split.asked is not None
    assert split.questions.vocabulary == ("blue", "color", "is", "it", "red", "what") and split.questions.longest == 4
    assert split.asked.shape == (32, 3, 4) and split.labels.shape == (32, 3)
    assert split.question(5) == "what color is it" and len(split.answers) == 32 + 16 + 32
    assert ((split.labels == NO_ANSWER) == ~split.asked.any(2)).all()
    few = split.subset(np.array([3, 4]))
    assert few.asked is not None and few.asked.shape == (2, 3, 4) and few.questions is split.questions


def test_what_is_wrong_with_questions_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def written(questions: object, split: str = "train") -> str:
        path = tmp_path / split / "questions.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(questions))
        return f"easyvqa:{tmp_path}"

    with pytest.raises(DataError, match=r"questions\.json cannot be read"):
        load_split(f"easyvqa:{tmp_path}", "train")
    with pytest.raises(DataError, match=r"answers\.txt cannot be read"):
        load_split(written([["is it red", "yes", 0]]), "train")
    (tmp_path / "answers.txt").write_text("yes\nno\n")
    with pytest.raises(DataError, match="no list of"):
        load_split(written([["is it red", "yes"]]), "train")
    written([["is it red", "yes", 0]])
    with pytest.raises(DataError, match=r"The test question 'is it teal' .* remove it"):
        load_split(written([["is it teal", "yes", 0]], "test"), "test")
    with pytest.raises(DataError, match=r"or its answer 'maybe'"):
        load_split(written([["is it red", "maybe", 0]], "test"), "test")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(DataError, match=r"pip install 'artoveq\[questions\]'"):
        load_split("easyvqa", "train")


def test_any_classes_are_asked_about(tmp_path: Path) -> None:
    for split, count in (("train", 40), ("val", 4)):
        for n, name in enumerate(("beagle", "Shih-Tzu", "English_foxhound")):
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (8, 8), (80 * n, i, 0)).save(tmp_path / split / name / f"{i}.png")
    found = load_split(f"questions:{tmp_path}", "train")
    known, asked = found.questions, found.asked
    assert known is not None and asked is not None
    assert found.classes == known.answers == ("yes", "no", "English foxhound", "Shih-Tzu", "beagle")
    assert known.vocabulary == (
        "a", "an", "beagle", "english", "foxhound", "is", "or", "shih-tzu", "this", "what"
    )  # fmt: skip
    words = [[" ".join(known.vocabulary[n - 1] for n in one if n) for one in of_picture] for of_picture in asked]
    orders = set()
    for (what, right, wrong, which), (name, yes, no, same) in zip(words, found.labels, strict=True):
        mine = f"{'an' if known.answers[name][0] == 'E' else 'a'} {known.answers[name].lower()}"
        assert (what, right, yes, no, same) == ("what is this", f"is this {mine}", 0, 1, name)
        theirs = wrong.removeprefix("is this ")
        assert theirs != mine
        pair = which.removeprefix("is this ").split(" or ")
        assert sorted(pair) == sorted((mine, theirs))
        orders.add(pair[0] == mine)
    assert len(words) == 120 and orders == {True, False}
    assert load_split(f"questions:{tmp_path}", "test").questions == known
    with pytest.raises(DataError, match="questions already"):
        load_split(f"questions:questions:{tmp_path}", "test")
    with pytest.raises(DataError, match=r"about the class 'Yes'; give its folder a name"):
        templated(["Yes", "other"], np.zeros(1, np.int64))
    with pytest.raises(DataError, match="Nothing can be asked about these classes"):
        templated(["собака", "кошка"], np.zeros(1, np.int64))


def test_a_step_draws_some_of_each_pictures_questions() -> None:
    labels = torch.tensor([[0, 1, 2, 3, 4, 5, 6, 7], [8, 9, NO_ANSWER, NO_ANSWER, NO_ANSWER, NO_ANSWER, NO_ANSWER, -1]])
    questions = labels[..., None].expand(-1, -1, 3)
    found, asked = drawn_questions(labels, questions)
    assert found.shape == (2, 6) and torch.equal(asked, found[..., None].expand(-1, -1, 3))
    assert len(set(found[0].tolist())) == 6 and sorted(found[1].tolist()) == [-1, -1, -1, -1, 8, 9]
    assert len({tuple(sorted(drawn_questions(labels, questions)[0][0].tolist())) for _ in range(20)}) > 1


def test_what_is_not_asked_counts_for_nothing() -> None:
    torch.manual_seed(0)
    output, labels = torch.randn(2, 2, 3), torch.tensor([[0, 1], [2, NO_ANSWER]])
    batch, of_all = Batch(torch.zeros(2, 3, 8, 8), labels), Batch(torch.zeros(2, 3, 8, 8), torch.tensor([0, 1, 2]))
    flat = output.flatten(0, 1)[:3]
    torch.testing.assert_close(TASK.loss(output, batch, 0.1), TASK.loss(flat, of_all, 0.1))
    torch.testing.assert_close(TASK.nll(output, batch), TASK.nll(flat, of_all))
    assert TASK.score(output, batch).tolist() == TASK.score(flat, of_all).tolist()
    assert float(TASK.divergence(output, output, 2.0)) == pytest.approx(0, abs=1e-6)


def test_several_questions_are_answered_as_each_alone() -> None:
    torch.manual_seed(0)
    decoder, tokens = QuestionDecoder(48, 26, 13).eval(), torch.randn(3, 16, 48)
    questions = torch.randint(0, 27, (3, 4, 9), dtype=torch.int32)
    with torch.no_grad():
        together = decoder(tokens, questions)
        assert together.shape == (3, 4, 13)
        for n in range(4):
            torch.testing.assert_close(decoder(tokens, questions[:, n]), together[:, n], atol=1e-5, rtol=1e-4)
        others = decoder(tokens.roll(1, 0), questions)
    assert not torch.allclose(together, others, atol=1e-3)
    assert 1e6 < sum(p.numel() for p in decoder.parameters()) < 3e6


def test_a_server_half_keeps_its_tokens_where_they_are_asked_for() -> None:
    _, server = MobileNetV2Transformer().halves(RECIPE.network, 64, None)
    x, names = torch.randn(2, 96, 4, 4), list(server.state_dict())
    server.eval()
    mean = server(x)
    keep_tokens(server)
    assert server(x).shape == (2, 16, 192) and list(server.state_dict()) == names
    torch.testing.assert_close(server(x).mean(1), mean)


def test_recipes_and_data_that_do_not_fit_are_told_so(data: str, tmp_path: Path) -> None:
    values = RECIPE.model_dump(mode="json", exclude_none=True)
    with pytest.raises(RecipeError, match="needs a backbone that gives tokens, and mobilenet_v2 does not"):
        checked_recipe({**values, "network": {"backbone": "mobilenet_v2"}}, "asked")
    with pytest.raises(RecipeError, match=r"a teacher tells classes apart.*remove \[teacher\]"):
        checked_recipe({**values, "teacher": {}}, "asked")
    split = load_split(data, "train")
    with pytest.raises(DataError, match="cannot be learnt from this data set"):
        make_views(recipe(task="classification"), split, tmp_path, {}, torch.device("cpu"))


@pytest.fixture(scope="module")
def artifact(data: str, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder, train_split, test = tmp_path_factory.mktemp("model"), load_split(data, "train"), load_split(data, "test")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # two that wait for each other on a busy machine take many times as long
    train(recipe(), train_split, folder, weights_file=None, device=torch.device("cpu"))
    made = export_measured(recipe(), folder, train_split, test, folder / "asked")
    torch.set_num_threads(threads)
    model, _ = trained_model(recipe(), 4, folder, train_split.questions)
    assert model.network.questions == made.manifest.task.questions
    return made


@pytest.mark.training
@pytest.mark.filterwarnings("ignore")  # of torch's exporter
def test_it_is_trained_exported_and_measured(artifact: Artifact, data: str) -> None:
    manifest, test = artifact.manifest, load_split(data, "test")
    assert manifest.task.name == "question answering" and manifest.task.metric == "accuracy" and manifest.refinable
    assert manifest.points[-1].metric > 0.9 and manifest.unquantised_metric > 0.9
    report = evaluate(artifact, test)
    assert report[-1]["accuracy"] == pytest.approx(manifest.points[-1].metric, abs=1e-3)
    assert set(report[-1]) >= {"accuracy", "nll", "ece", "perplexity"} and "top1" not in report[-1]
    assert any(point.temperature != 1 for point in manifest.points)


@pytest.mark.training
@pytest.mark.filterwarnings("ignore")
def test_it_is_served_and_asked(artifact: Artifact, data: str) -> None:
    root = Path(data.removeprefix("easyvqa:")) / "test"
    asked = json.loads((root / "questions.json").read_text())
    right, first = 0, load_split(data, "test").subset(np.arange(4))
    with serving(artifact.folder) as server:
        for picture in range(8):
            of_picture = [(question, answer) for question, answer, of in asked if of == picture]
            words = [str(root / "images" / f"{picture}.png"), *(question for question, _ in of_picture)]
            run = CliRunner().invoke(app, ["ask", *words, "--server", server.address, "--budget", "5s", "--json"])
            assert run.exit_code == 0, run.output
            answers = [json.loads(line)["answer"] for line in run.stdout.splitlines()]
            right += sum(found == answer for found, (_, answer) in zip(answers, of_picture, strict=True))
    assert right >= 16  # of 20
    assert evaluate_through_server(artifact, first)[-1]["accuracy"] > 0.7


def test_a_picture_file_is_of_the_data_sets_form(data: str) -> None:
    with Image.open(load_split(data, "train").sources[0]) as picture:  # type: ignore[arg-type]
        assert picture.size == (32, 32)
