package n8nlog

// Take is Watcher.take of a line that was not cut.
func Take(w *Watcher, node string, line []byte) { w.take(node, line, false) }
