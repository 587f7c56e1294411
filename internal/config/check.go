package config

func (c *Config) check(rep *report) {}
