"""The words of the drawn world: the names of all facts about its objects.

A scene stores a fact as an index into one of these tuples; for example, colour 3 is "green".
"""

from __future__ import annotations

from typing import NamedTuple

from pam_model.tasks import Language


class Word(NamedTuple):
    """A fact's name in English and in Chinese."""

    en: str
    zh: str

    def name(self, language: Language) -> str:
        """Return the name in one language."""
        return self.en if language == "en" else self.zh


SHAPES = (
    Word("circle", "圆形"),
    Word("square", "正方形"),
    Word("triangle", "三角形"),
    Word("star", "星形"),
    Word("hexagon", "六边形"),
    Word("cross", "十字"),
    Word("heart", "心形"),
    Word("ring", "圆环"),
    Word("crescent", "月牙"),
    Word("arrow", "箭头"),
)
DEFINITIONS = (
    Word(
        "a round shape whose edge is everywhere equally far from its centre",
        "边缘到中心距离处处相等的图形",
    ),
    Word(
        "a shape with four equal straight sides and four right angles",
        "有四条等长直边和四个直角的图形",
    ),
    Word("a shape with three straight sides and three corners", "有三条直边和三个角的图形"),
    Word("a shape with five points that stand out around its middle", "中间向外伸出五个尖角的图形"),
    Word("a shape with six equal straight sides and six corners", "有六条等长直边和六个角的图形"),
    Word("a shape made of two bars that meet at right angles", "由两条互相垂直的直条组成的图形"),
    Word(
        "a shape with two round lobes above and one point below",
        "上面有两个圆弧、下面有一个尖角的图形",
    ),
    Word("a round band with a hole in its middle", "中间有洞的环状带子"),
    Word("a curved shape that tapers to two points, like a new moon", "像新月一样两头尖的弯曲图形"),
    Word("a bar with a pointed head that shows a direction", "带有尖头、表示方向的图形"),
)
COLOURS = (
    Word("red", "红色"),
    Word("orange", "橙色"),
    Word("yellow", "黄色"),
    Word("green", "绿色"),
    Word("cyan", "青色"),
    Word("blue", "蓝色"),
    Word("purple", "紫色"),
    Word("pink", "粉色"),
    Word("brown", "棕色"),
    Word("black", "黑色"),
    Word("white", "白色"),
    Word("gray", "灰色"),
)
TEXTURES = (
    Word("plain", "纯色"),
    Word("striped", "条纹"),
    Word("dotted", "圆点"),
    Word("checked", "格子"),
)
SIZES = (Word("small", "小号"), Word("medium", "中号"), Word("large", "大号"))
GROUNDS = (
    Word("uniform", "均匀"),
    Word("gradient", "渐变"),
    Word("lined", "线纹"),
    Word("tiled", "方砖"),
    Word("grainy", "颗粒"),
)
PLACES = (
    Word("in the upper left", "左上方"),
    Word("at the top", "正上方"),
    Word("in the upper right", "右上方"),
    Word("on the left", "左侧"),
    Word("in the middle", "正中间"),
    Word("on the right", "右侧"),
    Word("in the lower left", "左下方"),
    Word("at the bottom", "正下方"),
    Word("in the lower right", "右下方"),
)
OTHER_NOUNS = (
    Word("car", "汽车"),
    Word("dog", "狗"),
    Word("tree", "树"),
    Word("person", "人"),
    Word("house", "房子"),
    Word("bird", "鸟"),
    Word("cup", "杯子"),
    Word("book", "书"),
    Word("chair", "椅子"),
    Word("flower", "花"),
)
"""Things that are never drawn, for label lists with other names than those of shapes."""
