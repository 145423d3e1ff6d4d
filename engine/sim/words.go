package sim

// words are what the simulation says. Each is read as one token; longer ones,
// and those with runes of several bytes, are spoken in two.
func words() []string {
	return []string{
		"a", "above", "across", "after", "air", "along", "and", "another", "answer", "around",
		"autumn", "beside", "beyond", "bird", "bridge", "bright", "calm", "café", "candle", "carry",
		"cloud", "cold", "colour", "country", "crêpe", "dark", "day", "door", "dream", "early",
		"earth", "evening", "field", "fire", "flower", "follow", "forest", "from", "garden", "gentle",
		"glass", "green", "ground", "harbour", "hear", "high", "hill", "house", "in", "island",
		"jalapeño", "journey", "lantern", "leaf", "light", "long", "make", "meadow", "moon", "morning",
		"mountain", "naïve", "near", "night", "north", "ocean", "of", "old", "open", "over",
		"paper", "path", "quiet", "rain", "read", "river", "road", "said", "sea", "señor",
		"shadow", "silver", "small", "snow", "song", "south", "star", "stone", "story", "summer",
		"table", "the", "through", "time", "tree", "under", "valley", "voice", "walk", "water",
		"wind", "window", "winter", "with", "wonder", "word", "über", "élan", "世界", "海",
		"言葉", "🌊", "🌿", "🦉",
	}
}
