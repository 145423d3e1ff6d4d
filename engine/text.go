package engine

// ReplayText returns the text that a sequence has released after the given
// generated tokens, by the same code as the loop's, and whether one of the stop
// strings ended it there. Text that is still held back (the beginning of a rune
// or perhaps of a stop string) is not in it.
func ReplayText(_ Vocabulary, _ []string, _ []Token) (text string, finished bool) { return "", false }
