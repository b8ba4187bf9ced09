"""Memories in several languages, and passages of long texts, found with the model as it is shipped.

The model was trained on English: for other languages the words have to carry the most.
"""

from __future__ import annotations

import pytest

from memorybank.domain.feed import MemoryColumns
from memorybank.domain.memory import MemoryFilter
from memorybank.search.tenant import TenantIndex
from tests.support.memory_model import builtin_embedder
from tests.support.memory_samples import a_memory

LANGUAGES = {
    "German": [
        ("Die Rechnungen für Strom liegen im blauen Ordner.", "Wo ist die Rechnung vom Strom?"),
        ("Der Server im Keller wird jeden Sonntag neu gestartet.", "Wann starten die Server neu?"),
        ("Oma Edith verträgt keine Nüsse.", "Was verträgt Oma nicht?"),
        ("Die Wärmepumpe wurde im März gewartet.", "Wartung der Warmepumpe"),
    ],
    "French": [
        ("Les élèves de la chorale répètent le mardi.", "Quand répète l'élève de la chorale ?"),
        ("La clé de la cave est chez la voisine du troisième.", "Où est la clé de la cave ?"),
        ("Le fournisseur livre les pièces en dix jours.", "délai de livraison des fournisseurs"),
        ("Le café de l'équipe vient d'un torréfacteur de Lyon.", "D'où vient le cafe ?"),
    ],
    "Spanish": [
        ("Las reuniones del equipo empiezan a las nueve y cuarto.", "¿A qué hora es la reunión?"),
        ("La contraseña del wifi está debajo del router.", "¿Dónde está la contrasena del wifi?"),
        ("El contrato con la imprenta termina en octubre.", "fin del contrato de la imprenta"),
        ("María es alérgica a los gatos.", "¿A qué es alérgica María?"),
    ],
    "Chinese": [
        ("每周一早上九点开团队会议。", "团队会议几点开始？"),
        ("打印机的墨盒放在三楼的柜子里。", "墨盒在哪里？"),
        ("数据库每天凌晨三点备份一次。", "数据库什么时候备份"),
        ("奶奶对花生过敏。", "奶奶对什么过敏？"),
    ],
    "Japanese": [
        ("冷蔵庫のフィルターは毎年四月に交換する。", "フィルターの交換はいつ？"),
        ("本番サーバーのバックアップは夜中の二時に始まる。", "バックアップは何時に始まる？"),
        ("会議室の鍵は受付にある。", "会議室の鍵はどこ？"),
        ("田中さんは猫アレルギーがある。", "田中さんのアレルギー"),
    ],
}  # fmt: skip
FILLING = "The meeting about the budget was moved, and nobody minded. Lunch was good. "
PASSAGE = "The emergency valve of the boiler is behind the third panel from the left. "


@pytest.fixture
async def index() -> tuple[TenantIndex, dict[str, str]]:
    """Return all memories of all languages in one index, and the memory of each question."""
    embedder = builtin_embedder()
    made = TenantIndex(embedder.dimensions)
    wanted = {}
    for pairs in LANGUAGES.values():
        for content, question in pairs:
            memory = a_memory(content)
            vectors = await embedder.embed([content])
            made.put(MemoryColumns.of([(memory, vectors[0])]))
            wanted[question] = memory.id
    return made, wanted


@pytest.mark.parametrize("language", LANGUAGES)
async def test_questions_in_this_language_find_their_memory_first(
    index: tuple[TenantIndex, dict[str, str]], language: str
) -> None:
    made, wanted = index
    embedder = builtin_embedder()
    for _, question in LANGUAGES[language]:
        vector = (await embedder.embed([question]))[0]
        hits = made.search(question, vector, where=MemoryFilter(), limit=1)
        assert hits[0].memory_id == wanted[question], question


@pytest.mark.parametrize(
    "question", ["Where is the emergency valve of the boiler?", "boiler panels valves"]
)
async def test_a_passage_deep_in_a_long_text_is_found(question: str) -> None:
    embedder = builtin_embedder()
    made = TenantIndex(embedder.dimensions)
    long = a_memory(FILLING * 120 + PASSAGE + FILLING * 40)
    others = [a_memory(f"{FILLING}It is the {n}th time.") for n in range(30)]
    others.append(a_memory("The boiler is in the cellar."))
    for memory in (long, *others):
        vectors = await embedder.embed([memory.content])
        made.put(MemoryColumns.of([(memory, vectors[0])]))
    vector = (await embedder.embed([question]))[0]
    assert long.id in [
        hit.memory_id for hit in made.search(question, vector, where=MemoryFilter(), limit=3)
    ]
