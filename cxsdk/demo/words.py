"""
What customers of the demo say, by how it went for them: (language, words).
"""

from __future__ import annotations

__all__ = ["HAPPY", "SORRY", "UPSET"]

HAPPY: tuple[tuple[str, str], ...] = (
    ("en", "Came a day early, and the box was tiny. Thank you! 🎉"),
    ("de", "Alles bestens, der Bote war sehr freundlich. Grüße aus Wörgl 😊"),
    ("fr", "Livré à l'heure, emballage soigné — bravo !"),
    ("es", "¡Perfecto! Volveré a comprar sin dudarlo 👍"),
    ("ja", "思っていたより早く届きました。ありがとうございます🙏"),
    ("tr", "Beklediğimden çok daha iyi, teşekkürler 🌷"),
    ("pt", "Muito bom, chegou antes do prazo 💛"),
    ("ar", "خدمة ممتازة وسريعة 👏"),
    ("el", "Όλα τέλεια, ευχαριστώ πολύ!"),
)

SORRY: tuple[tuple[str, str], ...] = (
    ("en", "Two days late, and nobody told me. The parcel itself is fine 🤷"),
    ("de", "Kam zu spät. Eine kurze Nachricht hätte gereicht."),
    ("fr", "Un peu en retard, mais bon… 😕"),
    ("es", "Tuve que contar lo mismo dos veces en el chat."),
    ("ja", "届くのが遅かったです。次は期待しています。"),
    ("tr", "Kargo geç geldi 😐"),
    ("pt", "Atrasou, mas o suporte foi atencioso"),
)

UPSET: tuple[tuple[str, str], ...] = (
    ("en", "It never came. I told three people the same story 😡 write to me: jo@example.org"),
    ("de", "Nie angekommen! Dreimal weiterverbunden, dreimal alles erzählt 😤"),
    ("fr", "Colis perdu, aucune excuse. Inadmissible 👎"),
    ("es", "Nunca llegó mi pedido 😠"),
    ("ja", "荷物が届きません。とても残念です💔"),
    ("ar", "لم يصل الطرد أبدًا 😞"),
)
