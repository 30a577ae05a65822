#pragma once
int close(int);
