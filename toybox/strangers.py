"""Words for things that are not in the Toybox: a model trained only on toys says yes to any word.

Training asks about the first list; evaluation asks about the second, whose words training never uses.
"""

HEARD: tuple[str, ...] = (
    "airplane", "ant", "anchor", "bag", "bear", "bed", "bee", "bell", "bench", "bicycle", "book", "bottle", "bowl",
    "box", "bread", "bridge", "broom", "bucket", "button", "cactus", "camel", "camera", "candle", "carrot", "castle",
    "chair", "cherry", "chicken", "coat", "coin", "cookie", "cow", "crab", "crown", "cup", "desk", "diamond",
    "dinosaur", "dolphin", "donkey", "door", "dragon", "drum", "eagle", "ear", "egg", "elephant", "eye",
    "feather", "fence", "finger", "flag", "flute", "fork", "fox", "garden", "gate", "ghost", "giraffe", "glove",
    "goat", "grape", "guitar", "hammer", "hand", "hat", "heart", "helmet", "hen", "hill", "horse", "island",
    "jacket", "jar", "kangaroo", "key", "king", "kite", "ladder", "lake", "lamp", "lemon", "lion", "lizard",
    "lock", "map", "melon", "mirror", "monkey", "moon", "mountain", "mushroom", "nest", "nose",
    "ocean", "onion", "orange", "panda", "peach", "pear", "pen", "pencil", "phone", "piano",
    "pig", "pillow", "plane", "plate", "pumpkin", "rabbit", "radio", "rain", "ring", "river", "road",
    "robot", "roof", "rose", "ruler", "scarf", "shark", "shell", "shirt", "shoe", "skirt", "snail",
    "snake", "sock", "sofa", "spider", "spoon", "star", "stone", "sun", "swan", "sword", "table", "tail", "tent",
    "tiger", "towel", "tower", "tractor", "trumpet", "umbrella", "vase", "wagon", "wall",
    "watch", "whale", "wheel", "window", "worm",
)  # fmt: skip
UNHEARD: tuple[str, ...] = (
    "zebra", "apricot", "balloon", "basket", "beaver", "belt", "blanket", "bone", "cabbage", "canoe",
    "cloud", "comb", "crocodile", "cushion", "doll", "envelope", "fan", "ferry", "flamingo", "hedgehog",
    "helicopter", "igloo", "jellyfish", "kettle", "koala", "lobster", "microphone", "motorcycle", "octopus", "ostrich",
    "peacock", "pineapple", "purse", "raccoon", "sandwich", "seal", "squirrel", "strawberry", "submarine",
    "suitcase", "teapot", "telescope", "train", "truck", "violin", "volcano", "walrus",
)  # fmt: skip
