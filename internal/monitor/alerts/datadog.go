package alerts

func (s *slo) datadog(burn) string { return "" }
