/** Reading JSON settings with an eye on what is wrong, and writing JSON answers. */
#pragma once
#import <Foundation/Foundation.h>

NS_ASSUME_NONNULL_BEGIN

/** A malloc'd, NUL-terminated string of a dictionary or array, or NULL if out of memory. */
char *_Nullable VibeCopyJSON(id object);

/** The "error" object of vibe_vz.h for an error of the framework. */
NSMutableDictionary *VibeDescribeError(NSError *_Nullable error);

/** The same for an error of our own, with a code from vibe_vz.h. */
NSMutableDictionary *VibeDescribeProblem(NSInteger code, NSString *message);

/** The same for an exception. */
NSMutableDictionary *VibeDescribeException(NSException *exception);

/**
 * One JSON object of the settings. It knows its place in the whole ("disks[0]"), and the first
 * thing found wrong anywhere below one root is kept there; what comes after may be a consequence.
 */
@interface VibeSettings : NSObject

/** The root. What is not JSON, and what is not an object, is refused. */
- (instancetype)initWithJSON:(const char *)json;

/** The first problem as an "error" object, or nil. */
@property(readonly, nullable) NSDictionary *problem;

- (BOOL)has:(NSString *)key;
/** The value, or nil if it is not there or refused for its type. */
- (nullable NSString *)string:(NSString *)key;
/** The value; missing is refused, too. */
- (nullable NSString *)requiredString:(NSString *)key;
/** A file URL of a required path. */
- (nullable NSURL *)requiredFile:(NSString *)key;
- (uint64_t)requiredInteger:(NSString *)key;
- (BOOL)flag:(NSString *)key;
/** A required object. */
- (VibeSettings *)requiredSection:(NSString *)key;
/** A list of objects, empty if it is not there. */
- (NSArray<VibeSettings *> *)sections:(NSString *)key;

/** Refuses a setting of this object, or all of it, with a code of vibe_vz.h. Answers nil. */
- (nullable id)refuse:(nullable NSString *)key code:(NSInteger)code because:(NSString *)message;
/** Refuses it with what the framework says. Answers nil. */
- (nullable id)refuse:(nullable NSString *)key error:(nullable NSError *)error;

@end

NS_ASSUME_NONNULL_END
