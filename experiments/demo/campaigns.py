"""The demo's campaigns: three briefs, the styles each tries, and who promotes its winner."""

import shutil
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from PIL import Image, ImageDraw

from creatives.fonts import load_face
from experiments.demo.photographs import FILES, photograph

LOGO_SIZE = (520, 120)


@dataclass(frozen=True, slots=True)
class Campaign:
    """One brief of the demo, the styles it tries, and who promotes its winner (``auto`` or ``propose``)."""

    name: str
    brand: str
    styles: tuple[str, ...]
    promotion: str

    def experiment_file(self, weeks: int) -> str:
        """What ad ops would write."""
        return (
            f"experiment: {self.name}\n"
            f"brief: {self.name}\n"
            f"styles: [{', '.join(self.styles)}]\n"
            f"looks: {{count: {weeks}, days: 7}}\n"
            f"promotion: {self.promotion}\n"
            f"review: {'true' if self.promotion == 'propose' else 'false'}\n"
            "secondary: [conversion-rate]\n"
            "attribution: {click_days: 1, conversion_days: 7}\n"
        )


CAMPAIGNS = (
    Campaign("coffee", "NORDLICHT", ("warm-film", "watercolor", "duotone-dusk", "great-wave", "ink-wash"), "auto"),
    Campaign("motorcycle", "VELOCE", ("neon-night", "poster-flat", "udnie", "pencil"), "auto"),
    Campaign("cat", "PELLE & CO", ("watercolor", "pastel", "scream", "gold-leaf"), "propose"),
)


def write_campaigns(root: Path, pictures: tuple[Path, ...], weeks: int) -> None:
    """Put photographs, logos, briefs and experiment files into a workspace; given pictures replace ours in order."""
    briefs = root / "briefs"
    for number, campaign in enumerate(CAMPAIGNS):
        picture = pictures[number % len(pictures)] if pictures else photograph(campaign.name)
        target = briefs / f"{campaign.name}-photo{picture.suffix.lower()}"
        shutil.copyfile(picture, target)
        draw_logo(campaign.brand).save(briefs / f"{campaign.name}-logo.png")
        text = files("experiments.demo").joinpath("briefs", f"{campaign.name}.yaml").read_text(encoding="utf-8")
        (briefs / f"{campaign.name}.yaml").write_text(text.replace(FILES[campaign.name], target.name), encoding="utf-8")
        (root / "experiments" / f"{campaign.name}.yaml").write_text(campaign.experiment_file(weeks), encoding="utf-8")


def draw_logo(brand: str) -> Image.Image:
    """A wordmark with transparent ground, so that the demo brings no picture of anybody's brand."""
    logo = Image.new("RGBA", LOGO_SIZE, (0, 0, 0, 0))
    pen = ImageDraw.Draw(logo)
    face = load_face("sans", "ExtraBold", 84)
    pen.text((LOGO_SIZE[0] / 2, LOGO_SIZE[1] / 2), brand, font=face, fill=(255, 255, 255, 255), anchor="mm")
    box = logo.getbbox()
    return logo.crop(box) if box else logo
